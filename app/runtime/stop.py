"""The polite end: TERM, INT, HUP, USR2 or a STOP file raise one flag; the job looks at it between clips and steps.

A job that does not come by to look is ended when its grace is over, with the same exit
code: whatever moment that is, what was committed stays.
"""

import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from app.errors import STOPPED, Stopped

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
SECOND_INT_S = 2.0
LOOK_S = 0.5  # how often the watch looks for a STOP file
TIME_IS_UP = "its time is up"


class StopFlag:
    """Set by a signal or by the file STOP in one of `folders`; `folders` may grow while the job runs."""

    def __init__(self) -> None:
        self.reason, self.cut_short = "", ""  # why it was told to stop; why it could not end politely
        self.since = 0.0
        self.folders: list[Path] = []
        self.at_the_end: list[Callable[[], None]] = []  # called by the watch before it ends the process
        self._saving, self._until = 0, math.inf
        self._wake = -1
        self._watching = False
        self._first_int: float | None = None

    def listen(self) -> None:
        """Takes the stop signals. nohup's ignored HUP stays ignored."""
        if self._wake >= 0:
            return
        self._wake, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # told at once, even while the main thread is inside a long computation
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def watch(self, grace_s: float) -> None:
        """From now on the process leaves grace_s after it was told to stop, at the latest; a save is let end."""
        self._watching = True
        threading.Thread(target=self._watch, args=(grace_s,), daemon=True, name="grace").start()

    def __bool__(self) -> bool:
        if not self.reason:
            for folder in self.folders:
                if (folder / "STOP").exists():
                    self.raise_it(f"the file {folder / 'STOP'}")
        if not self.reason and time.monotonic() >= self._until:
            self.raise_it(TIME_IS_UP)
        return bool(self.reason)

    def leave(self) -> None:
        """Raises Stopped once the flag is up: for work that can be dropped where it stands."""
        if self:
            raise Stopped(self.reason)

    def raise_it(self, reason: str) -> None:
        if self.reason in ("", TIME_IS_UP):
            self.reason, self.since = reason, time.monotonic()

    @contextlib.contextmanager
    def for_only(self, seconds: float) -> Iterator[None]:
        """Within, the flag is also up once so many seconds are over; afterwards that is forgotten."""
        self._until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until = math.inf
            if self.reason == TIME_IS_UP:
                self.reason = ""

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """What is begun within is ended, though the grace may be over."""
        self._saving += 1
        try:
            yield
        finally:
            self._saving -= 1

    def no_grace(self) -> None:
        """From now on it leaves when it likes: another process sees to it that it does."""
        self._saving += 1

    def _watch(self, grace_s: float) -> None:
        # time that is up is no reason to leave at once: nobody waits for the machine
        while not self or self.reason == TIME_IS_UP or time.monotonic() < self.since + grace_s:
            self._listen(LOOK_S)
        while self._saving:
            self._listen(0.05)
        self._leave_at_once(f"its grace of {grace_s:g} s was over")

    def _listen(self, seconds: float) -> None:
        if self._wake < 0:
            time.sleep(seconds)
        elif select.select([self._wake], [], [], seconds)[0]:
            for number in os.read(self._wake, 64):
                if number in STOP_SIGNALS:
                    self._hear(signal.Signals(number))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._watching:  # else the watch hears it, and at once: this comes when the main thread has a moment
            self._hear(signal.Signals(number))

    def _hear(self, number: signal.Signals) -> None:
        # torchrun forwards TERM twice, a terminal sends INT to the whole group: only a late second INT cuts short
        if number == signal.SIGINT:
            now = time.monotonic()
            if self._first_int is not None and now - self._first_int >= SECOND_INT_S:
                self._leave_at_once("told a second time, it left at once")
            self._first_int = self._first_int or now
        self.raise_it(number.name)

    def _leave_at_once(self, why: str) -> None:
        self.cut_short = why
        for call in self.at_the_end:
            with contextlib.suppress(Exception):
                call()
        os._exit(STOPPED)


STOP = StopFlag()  # of this process, where it is a job
