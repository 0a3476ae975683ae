"""What a job is doing, for `make status` and for the next reader: one small file a task, renewed by a heartbeat."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from app.runtime.files import read_json, write_json
from app.runtime.machine import used_megabytes

STALE_S = 60.0


class Status:
    """status/TASK.json of a stage or a model. Numbers are the task's own; `seconds` adds up over resumes."""

    def __init__(self, folder: Path, job: str, task: str = "main") -> None:
        self.path = folder / "status" / f"{task}.json"
        before = read_json(self.path) or {}
        self._spent_before = float(before.get("seconds", 0.0))
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.values: dict[str, Any] = {
            "job": job,
            "task": task,
            "state": "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.time(),
            "done": 0,
            "total": 0,
            "unit": "shards",
            "clips": 0,
            "failed": 0,
            "rate": 0.0,
            "eta_s": None,
            "peak_mb": float(before.get("peak_mb", 0.0)),
        }

    def start(self, every_s: float) -> None:
        self._write()
        self._thread = threading.Thread(target=self._beat, args=(every_s,), daemon=True)
        self._thread.start()

    def update(self, **values: Any) -> None:
        with self._lock:
            self.values.update(values)

    def end(self, state: str, note: str = "") -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        self.update(state=state, note=note, eta_s=None)
        self._write()

    def _beat(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                self._write()
            except OSError:
                pass  # a full disk for a moment must not make a living job look dead; the work itself will tell

    def _write(self) -> None:
        self.update(
            updated=time.time(),
            seconds=round(self._spent_before + time.monotonic() - self._started, 2),
            peak_mb=round(max(self.values["peak_mb"], used_megabytes()), 1),
        )
        with self._lock:
            write_json(self.path, self.values)


def read_status(folder: Path) -> list[dict[str, Any]]:
    """Every task's status; a job that says "running" and is not there any more is called stale."""
    found = []
    for path in sorted(folder.glob("status/*.json")):
        values = read_json(path)
        if values:
            values["state"] = "stale" if _is_stale(values) else values["state"]
            found.append(values)
    return found


def _is_stale(values: dict[str, Any]) -> bool:
    if values["state"] != "running":
        return False
    if values["host"] == socket.gethostname() and not psutil.pid_exists(values["pid"]):
        return True
    return bool(time.time() - values["updated"] > STALE_S)
