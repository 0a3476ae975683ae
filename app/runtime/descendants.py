"""The processes that this one has started, and theirs: looked up several times a second, at little cost."""

import os

from app.runtime.proc import read_or_nothing


class Descendants:
    """Call it for this process's id and those of all that come from it.

    Each process of the machine is asked once who started it, not at every call. One that
    outlives its parent stays ours.
    """

    def __init__(self) -> None:
        self._ours = {os.getpid()}
        self._known: set[int] = {os.getpid()}

    def __call__(self) -> set[int]:
        there = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - Path costs more
        parents = {pid: _parent(pid) for pid in there - self._known}
        self._known &= there
        self._known |= {pid for pid, parent in parents.items() if parent is not None}
        self._ours &= there
        while born := {pid for pid, parent in parents.items() if parent in self._ours} - self._ours:
            self._ours |= born
        return set(self._ours)


def _parent(pid: int) -> int | None:
    """None: it has just ended."""
    values = read_or_nothing(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(values[1]) if values else None
