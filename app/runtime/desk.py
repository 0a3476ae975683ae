"""One worker's place at a folder: a lock, a status, a log and an ear for STOP. Stages and models alike."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from app.errors import Stopped, UserError
from app.runtime.run import Run
from app.runtime.status import Status, read_status


class Desk:
    """What a job needs while it works in `folder`; `label` begins each of its lines."""

    def __init__(self, run: Run, folder: Path, job: str, label: str) -> None:
        self.run_ = run
        self.folder = folder
        self.job = job
        self.label = label
        self.status = Status(folder, job)
        self.status.update(label=label, run=run.name)
        self.log: IO[str] | None = None

    def say(self, line: str) -> None:
        """One line to the terminal and, while at work, to the job's log."""
        print(f"{self.label}  {line}", file=sys.stderr, flush=True)
        if self.log:
            self.log.write(f"{time.strftime('%F %T')} {self.label}  {line}\n")
            self.log.flush()


@contextmanager
def at_work(desk: Desk) -> Iterator[bool]:
    """One job at a time: a second is refused, naming host and progress of the first.

    Gives whether the lock holds (not all file systems have one). On leaving, the status says done, stopped or failed.
    """
    run = desk.run_
    desk.folder.mkdir(parents=True, exist_ok=True)
    lock, locked = _lock(desk)
    (desk.folder / "STOP").unlink(missing_ok=True)
    run.stop.folders.append(desk.folder)
    log_path = run.folder / "logs" / f"{desk.job}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("a", encoding="utf-8") as desk.log:
        desk.status.start(run.config.runtime.heartbeat_s)
        try:
            yield locked
            desk.status.end("done")
        except Stopped as stopped:
            desk.status.end("stopped", str(stopped))
            raise
        except BaseException as error:
            desk.status.end("failed", str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise
        finally:
            run.stop.folders.remove(desk.folder)
            os.close(lock)
    desk.log = None


def span(seconds: float) -> str:
    """A time to read: 40s, 12m, 3h05."""
    if seconds < 90:
        return f"{seconds:.0f}s"
    if seconds < 5400:
        return f"{seconds / 60:.0f}m"
    return f"{seconds // 3600:.0f}h{seconds % 3600 // 60:02.0f}"


def _lock(desk: Desk) -> tuple[int, bool]:
    handle = os.open(desk.folder / "lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        unknown: dict[str, Any] = {"host": "?", "pid": "?", "done": "?", "total": "?", "started": 0}
        other = next(iter(read_status(desk.folder)), unknown)
        raise UserError(
            f"{desk.label} is already running on {other['host']} (process {other['pid']}) since "
            f"{time.strftime('%F %T', time.localtime(other['started']))}: {other['done']} of {other['total']} done",
            "wait for it (`make status`), or stop it first",
        ) from None
    except OSError:
        return handle, False  # no locks on this file system: both may work, the loser of each shard discards its copy
    return handle, True
