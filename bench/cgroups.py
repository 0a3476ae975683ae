"""Two control groups of equal weight, as an engine gives to two containers: where they can be made."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextmanager
def two_groups() -> Iterator[tuple[Path, Path] | None]:
    """Folders of two new groups below the root, removed at the end; None where we may not, or there are none."""
    root = V1 if (V1 / "cpu.shares").exists() else V2
    ours, theirs = (root / f"bench-polite-{name}-{os.getpid()}" for name in ("ours", "neighbour"))
    try:
        yield (ours, theirs) if _make(ours) and _make(theirs) else None
    finally:
        _remove(ours)
        _remove(theirs)


def enter(folder: Path | None) -> Callable[[], None]:
    """What a new process does first, to be in that group."""

    def begin() -> None:
        if folder:
            (folder / "cgroup.procs").write_text("0")

    return begin


def _make(folder: Path) -> bool:
    try:
        folder.mkdir()
    except OSError:
        return False
    return (folder / "cpu.shares").exists() or (folder / "cpu.weight").exists()


def _remove(folder: Path) -> None:
    for _ in range(50):  # its processes leave a moment after they ended
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
