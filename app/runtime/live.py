"""Which jobs of ours are at work on this machine: a small file for each in RUNS/.live, renewed every 2 s.

Containers that share RUNS see each other's files, though not each other's processes.
"""

import json
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from app.runtime.load import Use

EVERY_S = 2.0
FORGET_S = 10.0  # a file not renewed for so long is of a dead job
REMOVE_S = 86400.0


@dataclass(frozen=True)
class LiveJob:
    """A job of ours, as it tells the others."""

    name: str  # of its file: HOST-PIDNAMESPACE-PID
    boot: str  # of the kernel: containers of one machine share it
    namespace: str  # in which its process numbers mean something
    pid: int
    pids: tuple[int, ...]  # all its processes
    cpus: tuple[int, ...]  # it may use
    workers: int  # it would have
    ran: float  # cores it used over the last period
    wanted: float  # threads it had on a core or waiting for one, over the same period
    started: float  # seconds since 1970
    updated: float

    @property
    def use(self) -> Use:
        return Use(self.ran, self.wanted)


class LiveFile:
    """This job's own file. Whatever fails, fails in silence: nothing but politeness hangs on it."""

    def __init__(self, runs: Path, workers: int, cpus: Iterable[int]) -> None:
        self.folder = runs / ".live"
        self.boot, self.namespace = _boot(), _namespace()
        self.name = f"{socket.gethostname()}-{self.namespace}-{os.getpid()}"
        self.workers, self.cpus = workers, tuple(cpus)
        self.started = time.time()

    def write(self, pids: Iterable[int], use: Use) -> None:
        """Renewed without a sync: after a crash of the machine nobody asks for it."""
        job = self.job(pids, use)
        draft = self.folder / f".{self.name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(job)) + "\n", encoding="utf-8")
            draft.replace(self.folder / f"{self.name}.json")
        except OSError:
            pass

    def job(self, pids: Iterable[int], use: Use) -> LiveJob:
        return LiveJob(
            name=self.name,
            boot=self.boot,
            namespace=self.namespace,
            pid=os.getpid(),
            pids=tuple(pids),
            cpus=self.cpus,
            workers=self.workers,
            ran=round(use.ran, 3),
            wanted=round(use.wanted, 3),
            started=self.started,
            updated=time.time(),
        )

    def remove(self) -> None:
        try:
            (self.folder / f"{self.name}.json").unlink(missing_ok=True)
        except OSError:
            pass

    def beside(self) -> list[LiveJob]:
        """The other jobs of ours that live on this machine and share a core with us."""
        found = []
        for path in self._files():
            job = _read(path)
            age = time.time() - _changed(path)
            if job is None or age > REMOVE_S:
                _drop(path, age)
            elif self._lives(job) and set(job.cpus) & set(self.cpus):
                found.append(job)
        return found

    def _lives(self, job: LiveJob) -> bool:
        if job.boot != self.boot or job.name == self.name or time.time() - job.updated > FORGET_S:
            return False
        return not self.sees(job) or Path(f"/proc/{job.pid}").exists()

    def sees(self, job: LiveJob) -> bool:
        """Its processes are those we know by these numbers."""
        return job.namespace == self.namespace

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.glob("*.json"))
        except OSError:
            return []


def _read(path: Path) -> LiveJob | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        job = LiveJob(**{**values, "pids": tuple(values["pids"]), "cpus": tuple(values["cpus"])})
        numbers = (job.pid, job.workers, job.ran, job.wanted, job.started, job.updated, *job.pids, *job.cpus)
        return job if all(isinstance(number, (int, float)) for number in numbers) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None  # just removed, or of another version


def _drop(path: Path, age_s: float) -> None:
    if age_s > REMOVE_S:
        try:
            path.unlink()
        except OSError:
            pass


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _namespace() -> str:
    """Of process numbers: the same on the machine itself, another in each container."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
