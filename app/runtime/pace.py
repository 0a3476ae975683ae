"""Writes no faster than we may, and a little at a time, so that a neighbour's disk stays his."""

import os
import time

SYNC_EVERY = 16 << 20  # bytes; what waits in the page cache is then written at once, not in one storm at the end
AHEAD_S = 0.25  # so much may be written at once before the pace is felt


class Pace:
    """A cap on the bytes that this process writes per second; 0: none."""

    def __init__(self) -> None:
        self.bytes_per_s = 0.0
        self._free_at = 0.0

    def limit(self, bytes_per_s: float) -> None:
        self.bytes_per_s, self._free_at = bytes_per_s, 0.0

    def wrote(self, count: int) -> None:
        """Sleeps until `count` more bytes fit under the cap."""
        if not self.bytes_per_s:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - AHEAD_S) + count / self.bytes_per_s
        if self._free_at > now:
            time.sleep(self._free_at - now)


PACE = Pace()  # this process's own; a job sets it, and each of its workers a share


class PacedFile:
    """Tells the pace of what is written to an open file, and syncs it every SYNC_EVERY bytes."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._unsynced = 0

    def wrote(self, count: int) -> None:
        PACE.wrote(count)
        self._unsynced += count
        if self._unsynced >= SYNC_EVERY:
            os.fdatasync(self.handle)
            self._unsynced = 0
