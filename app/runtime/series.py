"""A job that has others' work done, one after another: a place of its own, where it is seen and can be stopped."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.runtime.gpus import taken_gpus
from app.runtime.logs import RotatingLog
from app.runtime.place import placed
from app.runtime.run import Run
from app.runtime.status import RUNNING, WAITING, Status
from app.runtime.tell import tell

SERIES = ("ladder", "sweep", "seeds")  # their folders lie in that of the run


class Series:
    """What such a job tells beside what its parts do."""

    def __init__(self, run: Run, job: str, unit: str) -> None:
        self.run, self.job, self.folder = run, job, run.folder / job
        self.locks_work = True
        self._status, self._waits_for, self._until = Status(self.folder, job), "", math.inf
        self._log = RotatingLog(run.folder / "logs" / f"{job}.log", run.config.runtime.log_mb * 1e6)
        self._status.update(label=job, run=run.name, unit=unit)

    def take_gpus(self) -> None:
        """All that a training may have: what one of the parts took first would be all that the others get."""
        if self.run.gpus is None:
            settings, leave = self.run.config.runtime, self.run.stop.leave
            taken = taken_gpus(self.run.runs, self.job, settings, wait_state=self._waits, say=self.say, leave=leave)
            self.run.gpus = self.run.leaving.enter_context(taken)

    def say(self, line: str) -> None:
        """One line to the terminal and to the job's log."""
        self.run.said[:] = [f"{self.job}  {line}"]
        tell(self.run.said[0])
        self._log.write(f"{time.strftime('%F %T')} {self.run.said[0]}")

    def at(self, done: int, total: int = 0, left_s: float = math.inf) -> None:
        """How many parts are done, of how many (0: nobody knows), and for how long it goes on at most."""
        self._until = time.monotonic() + left_s
        self._status.update(done=done, total=total, **self._look())

    def _waits(self, why: str, since: float) -> None:
        self._waits_for = why and f"{why} (since {time.strftime('%T', time.localtime(since))})"
        self._status.update(**self._look())

    def _look(self) -> dict[str, Any]:
        left_s = self._until - time.monotonic()
        state = {"state": WAITING if self._waits_for else RUNNING, "note": self._waits_for}
        return {**state, "eta_s": None if math.isinf(left_s) else max(0, round(left_s))}


@contextmanager
def in_series(run: Run, job: str, unit: str) -> Iterator[Series]:
    """Raises UserError where another one is at it. unit: of its parts, in the plural."""
    series = Series(run, job, unit)
    with series._log, placed(run, series.folder, series._status, series.say) as series.locks_work:
        series._status.start(run.config.runtime.heartbeat_s, series._look)
        yield series
