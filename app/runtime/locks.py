"""A lock on a folder, tried and not believed: it saves work, and nothing is wrong where it does not hold."""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple


class Lock(NamedTuple):
    handle: int  # close it to let go; a dead process lets go by itself
    works: bool  # False: this file system only pretends, or refuses, to lock


def take_lock(path: Path, shared: bool = False) -> Lock | None:
    """The lock, or None where another holds it. shared: with others who share it, and with nobody else."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return Lock(handle, False)
    return Lock(handle, not _second_gets_it(path))


def _second_gets_it(path: Path) -> bool:
    """A second opening of the same file, even by the same process, must be refused."""
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(second)
