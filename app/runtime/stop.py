"""The polite end: TERM, INT, USR2 or a STOP file raise one flag; the job looks at it between clips and steps."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

from app.errors import STOPPED, Stopped

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
SECOND_INT_S = 2.0


class StopFlag:
    """Set by a signal or by the file STOP in one of `folders`; `folders` may grow while the job runs."""

    def __init__(self) -> None:
        self.reason = ""
        self.since = 0.0
        self.folders: list[Path] = []
        self._last_int = 0.0

    def listen(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def __bool__(self) -> bool:
        if not self.reason:
            for folder in self.folders:
                if (folder / "STOP").exists():
                    self.raise_it(f"the file {folder / 'STOP'}")
        return bool(self.reason)

    def leave(self) -> None:
        """Raises Stopped once the flag is up: for work that can be dropped where it stands."""
        if self:
            raise Stopped(self.reason)

    def raise_it(self, reason: str) -> None:
        if not self.reason:
            self.reason, self.since = reason, time.monotonic()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # torchrun forwards TERM twice, a terminal sends INT to the whole group: only a late second INT cuts short
        if number == signal.SIGINT and self.reason and now - self.since >= SECOND_INT_S:
            os._exit(STOPPED)
        self.raise_it(signal.Signals(number).name)
