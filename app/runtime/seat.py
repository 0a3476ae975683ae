"""Where a worker sits: what it has in hand, how long it was made to rest, whether it must leave. Known at once.

Work calls `breathe` as often as it can: there it leaves when told, and a job without workers rests.
"""

import time
from collections.abc import Callable
from typing import Any

from app.errors import Stopped

NOTHING = -1  # no row is in hand


class Seat:
    """Numbers shared between a worker and its job; no locks, each has one writer.

    Of the worker: `row`, the row of the shard in hand, or NOTHING; `ticks`, which grows with each
    breath. Of the job: `rested_s`, how long it has held the worker; `drop` (leave the shard at the next breath).
    """

    def __init__(self, context: Any) -> None:
        self._shared = context.RawArray("q", 4)
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
    def taken(self) -> bool:
        """A worker sits here."""
        return self.ticks > 1

    @property
    def rested_s(self) -> float:
        return int(self._shared[2]) / 1e9

    def rest(self, seconds: float) -> None:
        self._shared[2] += round(seconds * 1e9)

    @property
    def drop(self) -> bool:
        return bool(self._shared[3])

    @drop.setter
    def drop(self, value: bool) -> None:
        self._shared[3] = int(value)

    def breathe(self) -> None:
        self._shared[1] += 1
        if self.drop:
            raise Stopped


_seat: Seat | None = None
_here: Callable[[], None] | None = None
_rested_s = 0.0


def sit(seat: Seat) -> None:
    """This process is a worker from now on."""
    global _seat
    _seat = seat
    seat.row = NOTHING  # which counts as a breath


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


def rested(seconds: float) -> None:
    """This process, which works by itself, has left the cores to others for so long."""
    global _rested_s
    _rested_s += seconds


def worked_s() -> float:
    """A clock that stands still while others have our cores; two readings tell what the work between them took."""
    return time.perf_counter() - (_seat.rested_s if _seat is not None else _rested_s)


def take_in_hand(row: int) -> None:
    """The row of the shard that is worked on from now, or NOTHING."""
    if _seat is not None:
        _seat.row = row
    breathe()
