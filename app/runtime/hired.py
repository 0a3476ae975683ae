"""One worker, seen from its job: what it is given and answers, how long it has had a clip in hand, when it rests."""

import contextlib
import math
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from app.runtime.seat import NOTHING, Seat
from app.runtime.worker import Order, ShardWork, worker_main

BEFORE_A_CLIP = 3  # times runtime.clip_seconds, for what a shard needs before its first clip and after its last
LONGEST_LOOK_S = 1.0
End = Literal["killed", "memory", "hung", "crashed"]


@dataclass
class Task:
    """A shard and its history."""

    order: Order
    kills: int = 0
    marks: Counter[str] = field(default_factory=Counter)  # clips in hand when a worker crashed or hung


class Worker:
    """One process, seen from the job."""

    def __init__(self, context: Any, alive: Connection, bytes_per_s: float) -> None:
        self.seat = Seat(context)
        self.pipe, theirs = context.Pipe()
        args = (theirs, alive, self.seat, bytes_per_s, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self.process = context.Process(target=worker_main, args=args, daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.began = 0.0
        self.ticks, self.looked, self.waited, self.held_s = 0, 0.0, 0.0, 0.0
        self.rests_since: float | None = None
        self.end: End | None = None  # why we ended it

    def give(self, task: Task, work: ShardWork, shards: Path, args: dict[str, Any]) -> None:
        self.rest(False)  # it may have answered, and be without a task, before it was stopped
        self.task, self.began, self.held_s = task, time.monotonic(), 0.0
        self.seat.drop = False
        with contextlib.suppress(BrokenPipeError):  # it is dead already: that is seen next
            self.pipe.send((work, task.order, shards, args))

    def rest(self, resting: bool) -> None:
        """Takes it off its core at once, wherever it is, or lets it go on; to be said again and again."""
        if not (self.seat.taken and self.process.is_alive()):
            return
        now = time.monotonic()
        if resting:
            self.rests_since = self.rests_since or now
            self._send(signal.SIGSTOP)  # each time: Ctrl-Z and fg wake all of us
        elif self.rests_since:
            self.seat.rest(now - self.rests_since)
            self.began += now - self.rests_since
            self.looked, self.rests_since = now, None
            self._send(signal.SIGCONT)

    def _send(self, signal_: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal_)

    def answer(self) -> tuple[Any, ...] | None:
        """What it has sent, if it has."""
        try:
            found: tuple[Any, ...] | None = self.pipe.recv() if self.pipe.poll() else None
            return found
        except (EOFError, OSError):
            self.process.join(5.0)  # its end of the pipe is closed: it has died
            return None

    def hung(self, seconds: float) -> bool:
        """It has had one clip in hand for longer than that, without a breath.

        Time in which it could not run is not put down to the clip: it waited for a core, or was made to rest.
        """
        now, ticks, waited = time.monotonic(), self.seat.ticks, _waited_s(self.process.pid)
        if ticks != self.ticks or self.task is None:
            self.held_s = 0.0
        elif not self.rests_since:  # a rest does not begin the count anew: else who hangs beside a busy neighbour stays
            self.held_s += max(0.0, min(now - self.looked, LONGEST_LOOK_S) - (waited - self.waited))
        self.ticks, self.looked, self.waited = ticks, now, waited
        return self.held_s > seconds * (BEFORE_A_CLIP if self.seat.row == NOTHING else 1)

    def left_s(self) -> float:
        """Seconds until its shard is done, as far as one can tell."""
        rows, row = len(self.task.order.shard.rows) if self.task else 0, self.seat.row
        if row == NOTHING:
            return 0.0 if time.monotonic() - self.began > 1 else math.inf  # it is saving, or has hardly begun
        return (time.monotonic() - self.began) / (row + 1) * (rows - row)

    def resident(self) -> int:
        """Pages of memory, shared ones too."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0

    def kill(self, end: End) -> None:
        self.end = end
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _waited_s(pid: int | None) -> float:
    """How long this process was ready and had no core."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
