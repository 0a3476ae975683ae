"""A job's log: lines at the end of a file that never grows beyond a limit, and never costs the job.

logging's RotatingFileHandler does not fit: with two processes one goes on in the file that
the other has renamed, and after a full disk it keeps what it could not write, and raises on closing.
"""

import contextlib
import fcntl
import os
from pathlib import Path

KEPT = 3  # old logs: JOB.log.1 (the newest), .2 and .3


class RotatingLog:
    """Appends lines to `path`; a file of more than `limit` bytes is renamed to PATH.1 and a new one begun.

    Nothing here raises: `problem` says why the last line could not be written, "" where it was.
    Two processes may append to the same log: each line is one write, at the end, and who
    finds the file renamed goes on in the new one.
    """

    def __init__(self, path: Path, limit: float, kept: int = KEPT) -> None:
        self.path, self.limit, self.kept = path, limit, kept
        self.problem = ""
        self._handle = -1
        self._torn = False  # the disk was full within a line

    def write(self, line: str) -> None:
        """`line` ends with its newline, or gets one."""
        data = (line if line.endswith("\n") else line + "\n").encode(errors="replace")
        try:
            self._open()
            if self._torn:
                data = b"\n" + data
            written = os.write(self._handle, data)
            self._torn = written < len(data)
            self.problem = "the disk is full" if self._torn else ""
        except OSError as error:
            self.problem = str(error)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "RotatingLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """The file that now has the name, with room in it."""
        if self._is_current() and (os.fstat(self._handle).st_size <= self.limit or not self._shift()):
            return
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def _is_current(self) -> bool:
        if self._handle < 0:
            return False
        try:
            there, ours = self.path.stat(), os.fstat(self._handle)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _shift(self) -> bool:
        """Gives each log the next older name; False while the other process is at it."""
        try:
            # on the log itself: who has its lock and still finds it under its name is the only one to rename it
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # no locks on this file system: then two that rename at once may lose an old log
        if self._is_current():
            names = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self.kept + 1))]
            for old, new in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
                with contextlib.suppress(OSError):  # not there yet; a log that cannot be renamed grows
                    old.replace(new)
        return True
