"""What a job is doing, for `make status` and for the next reader: one small file a task, renewed by a heartbeat."""

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from app.runtime.files import here, is_there, read_json, write_json
from app.runtime.late_disk import SHOWN_S
from app.runtime.machine import gpu_megabytes, used_megabytes
from app.runtime.steps import taken_steps

STALE_S = 60.0
CLOCKS_S = 5.0  # that the kernel's clock and ours may differ
SHARDS_TIMED = 100  # the first ones, each by itself: `make estimate` looks at them
RUNNING, YIELDING, WAITING = "running", "yielding to others", "waiting for GPU"
ALIVE = (RUNNING, YIELDING, WAITING)


class Status:
    """status/TASK.json of a stage or a model. Numbers are the task's own; `seconds` adds up over resumes."""

    def __init__(self, folder: Path, job: str, task: str = "main") -> None:
        self.path = folder / "status" / f"{task}.json"
        before = read_json(self.path) or {}
        self._spent_before = float(before.get("seconds", 0.0))
        self._rested_before = float(before.get("rested_s", 0.0))
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self.used_mb, self.measured = 0.0, 0  # memory of all our processes, and how often it was looked at
        self._peak_mb, self._measured_at = 0.0, -math.inf
        self.worker_mb = 0.0  # of the largest of them, but for this one
        self.values: dict[str, Any] = {
            "job": job,
            "task": task,
            "state": RUNNING,
            "note": "",
            "host": socket.gethostname(),
            "where": here(),
            "pid": os.getpid(),
            "started": time.time(),
            "done": 0,
            "total": 0,
            "unit": "shards",
            "clips": 0,
            "failed": 0,
            "rate": 0.0,
            "busy_s": 0.0,
            "rested_s": self._rested_before,
            "steps": {},
            "shard_s": {},
            "gpu_mb": 0.0,
            "eta_s": None,
            "peak_mb": float(before.get("peak_mb", 0.0)),
        }

    def rename(self, task: str) -> None:
        """Another task's file than the usual one, where several may be at work."""
        self.path = self.path.with_name(f"{task}.json")
        self.update(task=task)

    def start(self, every_s: float, look: Callable[[], dict[str, Any]] = dict) -> None:
        """Renews the file each every_s; `look` gives values that are to be looked up each time."""
        self._write(look())
        self._thread = threading.Thread(target=self._beat, args=(every_s, look), daemon=True)
        self._thread.start()

    def update(self, **values: Any) -> None:
        with self._lock:
            self.values.update(values)

    def spend(self, busy_s: float, steps: Mapping[str, float], shard: str = "") -> None:
        """Adds to what the work itself took, over all workers, and to its steps by name (seconds)."""
        with self._lock:
            if shard and len(self.values["shard_s"]) < SHARDS_TIMED:
                self.values["shard_s"][shard] = round(busy_s, 3)
            self.values["busy_s"] = round(self.values["busy_s"] + busy_s, 3)
            known = self.values["steps"]
            self.values["steps"] = {n: round(known.get(n, 0.0) + steps.get(n, 0.0), 3) for n in {**known, **steps}}

    def rested(self, seconds: float) -> None:
        """By so much this task is later, since its start, for having left cores to others."""
        self.update(rested_s=round(self._rested_before + seconds, 2))

    def held_on_gpu(self, megabytes: float) -> None:
        """All our processes together may have held so much there."""
        with self._lock:
            self.values["gpu_mb"] = round(max(self.values["gpu_mb"], megabytes), 1)

    def quiet(self) -> None:
        """No more heartbeats."""
        self._stop.set()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def end(self, state: str, note: str = "") -> None:
        self.quiet()
        self.spend(0.0, taken_steps())  # of this process
        self._write({"state": state, "note": note, "eta_s": None})

    def measure(self, older_than_s: float = 0.0) -> None:
        """Looks at the memory of all our processes, unless it was looked at a moment ago."""
        if time.monotonic() - self._measured_at >= older_than_s:
            me, *others = used_megabytes()
            self.used_mb, self.measured = me + sum(others), self.measured + 1
            self.worker_mb = max([self.worker_mb, *others])
            self._peak_mb = max(self._peak_mb, self.used_mb)
            self._measured_at = time.monotonic()

    def _beat(self, every_s: float, look: Callable[[], dict[str, Any]]) -> None:
        while not self._stop.wait(every_s):
            self._write(look())

    def _write(self, values: dict[str, Any]) -> None:
        self.measure()
        self.held_on_gpu(gpu_megabytes())
        self.update(
            **values,
            updated=time.time(),
            seconds=round(self._spent_before + time.monotonic() - self._started, 2),
            used_mb=round(self.used_mb, 1),
            worker_mb=round(self.worker_mb, 1),
            peak_mb=round(max(self.values["peak_mb"], self._peak_mb), 1),
        )
        with self._lock:
            now = {**self.values, "shard_s": dict(self.values["shard_s"])}
        with self._writing, contextlib.suppress(OSError):
            write_json(
                self.path, now, synced=False
            )  # a full disk must not make a living job look dead; the work itself will tell


def read_status(folder: Path) -> list[dict[str, Any]]:
    """Every task's status; a job that says it is alive and is not there any more is called stale, and why."""
    found = []
    for path in sorted(folder.glob("status/*.json")):
        values = read_json(path)
        if values:
            if values["state"] in ALIVE and (why := _stale(values)):
                values |= {"state": "stale", "note": why}
            found.append(values)
    return found


def _stale(values: dict[str, Any]) -> str:
    """Why a job that says it is alive is not believed; "" if it is."""
    if values.get("where") == here():
        try:  # a number may have gone to another process since
            alive = psutil.Process(values["pid"]).create_time() <= values["started"] + CLOCKS_S
        except psutil.Error:  # a /proc that hides the processes of others says no such process as well
            alive = is_there(values["pid"]) and time.time() - values["updated"] < STALE_S
        return "" if alive else "its process is gone; the same command goes on"
    silent_s = time.time() - values["updated"]
    return f"not heard of for {silent_s:.0f} s" if silent_s > STALE_S + SHOWN_S else ""
