"""Where a worker sits: what it has in hand, whether it may go on, whether it must leave. Known to its job at once.

Work calls `breathe` as often as it can: there it waits while others need the core, and leaves when told.
"""

import time
from collections.abc import Callable
from typing import Any

from app.errors import Stopped

NOTHING = -1  # no row is in hand
WAIT_S = 0.1


class Seat:
    """Numbers shared between a worker and its job; no locks, each has one writer.

    Of the worker: `row`, the row of the shard in hand, or NOTHING; `ticks`, which grows with each
    breath; `waiting`. Of the job: `hold` (wait at the next breath), `drop` (leave the shard at the next breath).
    """

    def __init__(self, context: Any) -> None:
        self._shared = context.RawArray("q", 5)
        self.row = NOTHING

    @property
    def row(self) -> int:
        return int(self._shared[0])

    @row.setter
    def row(self, value: int) -> None:
        self._shared[0] = value
        self._shared[1] += 1

    @property
    def ticks(self) -> int:
        return int(self._shared[1])

    @property
    def waiting(self) -> bool:
        return bool(self._shared[2])

    @property
    def drop(self) -> bool:
        return bool(self._shared[3])

    @drop.setter
    def drop(self, value: bool) -> None:
        self._shared[3] = int(value)

    @property
    def hold(self) -> bool:
        return bool(self._shared[4])

    @hold.setter
    def hold(self, value: bool) -> None:
        self._shared[4] = int(value)

    def breathe(self) -> None:
        self._shared[1] += 1
        while self.hold and not self.drop:
            self._shared[2] = 1
            time.sleep(WAIT_S)
        self._shared[2] = 0
        self._shared[1] += 1
        if self.drop:
            raise Stopped


_seat: Seat | None = None
_here: Callable[[], None] | None = None


def sit(seat: Seat) -> None:
    """This process is a worker from now on."""
    global _seat
    _seat = seat


def breathe_by(breath: Callable[[], None] | None) -> None:
    """This process works by itself: `breath` waits and leaves as it must."""
    global _here
    _here = breath


def breathe() -> None:
    """Between clips, windows, steps: waits while others need the core; raises Stopped when told to stop."""
    if _seat is not None:
        _seat.breathe()
    elif _here is not None:
        _here()


def take_in_hand(row: int) -> None:
    """The row of the shard that is worked on from now, or NOTHING."""
    if _seat is not None:
        _seat.row = row
    breathe()
