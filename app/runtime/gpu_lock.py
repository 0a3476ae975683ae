"""One GPU, one job of ours: a lock by UUID in RUNS, which host and containers share. It dies with its process."""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from app.runtime.locks import take_lock


@dataclass
class GpuLock:
    """Held until `release`, or until the process ends."""

    handle: int | None
    holds: bool  # False: this file system has no locks that work, nothing keeps another job of ours away

    def release(self) -> None:
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def lock_gpu(folder: Path, uuid: str, job: str, since: float) -> GpuLock | str:
    """The lock, or who holds it. folder: the same for all jobs of all containers; since: seconds since the epoch."""
    path = folder / f"{uuid.replace('/', '_')}.lock"  # MIG UUIDs of old drivers hold a slash
    try:
        _make(folder)
        lock = take_lock(path)
    except OSError:
        return GpuLock(None, False)
    if lock is None:
        return _holder(path)
    if lock.works:
        _note(lock.handle, job, since)
    return GpuLock(lock.handle, lock.works)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # root in a container and the user outside it take the same locks


def _note(handle: int, job: str, since: float) -> None:
    """Who we are, for the message to the next one; the lock stands without it."""
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "job": job, "since": since}) + "\n"
    try:
        os.fchmod(handle, 0o666)
    except OSError:
        pass  # another user's file, which we may open all the same
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)
    except OSError:
        pass  # the disk is full: no reason to do without a GPU


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text())
        since = time.strftime("%F %T", time.localtime(note["since"]))
        return f"taken by our job {note['job']} (pid {note['pid']} on {note['host']}, since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return "taken by another job of ours"  # which has not written its name yet
