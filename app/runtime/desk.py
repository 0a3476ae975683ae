"""A job's place at a folder: a lock, a status, a log, and ears for STOP and for others. Stages and models alike."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import NoRoom
from app.runtime.bar import bar_at_the_end
from app.runtime.gpus import TakenGpus, taken_gpus
from app.runtime.logs import RotatingLog
from app.runtime.machine import usable_cores, usable_memory
from app.runtime.neighbours import Neighbours
from app.runtime.pace import PACE
from app.runtime.place import placed
from app.runtime.room import amount
from app.runtime.run import Run
from app.runtime.seat import breathe_by, rested
from app.runtime.status import RUNNING, WAITING, YIELDING, Status
from app.runtime.tell import span, tell

LONGEST_REST_S = 5.0  # at once, so that a stop is heard
NEAR = 0.6  # of the memory we may hold: from there on it is looked at more often
LOOK_S = 0.25
REMIND_S = 300.0  # while cores are left to others
OVER_MEMORY = 3  # looks in a row, before a job that has no workers to end gives up


class Desk:
    """What a job needs while it works in `folder`; `label` begins each of its lines."""

    def __init__(self, run: Run, folder: Path, job: str, label: str) -> None:
        self.run_ = run
        self.folder = folder
        self.job = job
        self.label = label = f"{label} {run.part.number}/{run.part.tasks}" if run.part else label
        self.status = Status(folder, job)
        self.status.update(label=label, run=run.name)
        self.log: RotatingLog | None = None
        self.bar = False  # whether one shows our progress
        settings = run.config.runtime
        self.memory = settings.memory_gb * 1e9 or usable_memory() / 2  # bytes that all our processes may hold
        self.neighbours = Neighbours(run.runs, run.workers, settings)
        self.gpus = TakenGpus([])
        self._waits_for = ""
        self._looked, self._over, self._breath = 0, 0, time.monotonic()
        self._yielding, self._reminded, self.rested_s = False, 0.0, 0.0

    def say(self, line: str) -> None:
        """One line to the terminal and, while at work, to the job's log."""
        self.run_.said[:] = [f"{self.label}  {line}"]
        tell(self.run_.said[0])
        if self.log:
            self.log.write(f"{time.strftime('%F %T')} {self.run_.said[0]}")

    def note(self, line: str) -> None:
        """As `say`, but to a terminal only where no bar tells the same."""
        if self.bar and self.log:
            self.log.write(f"{time.strftime('%F %T')} {self.label}  {line}")
        else:
            self.say(line)

    def breathe(self) -> None:
        """For work in this very process, between its steps: rests while others need the cores; raises Stopped."""
        now = time.monotonic()
        worked, share = now - self._breath, self.share
        if share < 1:
            # to keep to our share of the time
            rest = now + min(LONGEST_REST_S, worked * (1 / share - 1) if share > 0 else LONGEST_REST_S)
            while (time.monotonic() < rest or self.share == 0) and not self.run_.stop:
                time.sleep(0.1)
            rested(time.monotonic() - now)
            self.rest(time.monotonic() - now)
        self._breath = time.monotonic()
        self.heed_gpus()
        self.over_memory()
        if self._over >= OVER_MEMORY:
            raise NoRoom(
                f"{self.label}: holds {amount(self.status.used_mb * 1e6)}, more than its {amount(self.memory)}",
                "raise runtime.memory_gb, or use fewer batch_clips",
            )
        self.run_.stop.leave()

    @property
    def share(self) -> float:
        """Of the time, that a job of one process may compute: here, and on the nodes that help."""
        return min(self.neighbours.share, self.run_.nodes.share if self.run_.nodes else 1.0)

    def rest(self, seconds: float) -> None:
        """By so much the work is later for having left cores to others."""
        self.rested_s += seconds

    def heed_gpus(self) -> None:
        """Stops politely when the hours of our GPU are over; raises GpuLost, which is a Stopped, when it is gone."""
        if why := self.gpus.hours_over():
            self.run_.stop.raise_it(why)
        self.gpus.check()

    def waits_for(self, why: str, since: float) -> None:
        """Tells the status what we wait for, since when (seconds since the epoch); "": not any more."""
        self._waits_for = why and f"{why} (since {time.strftime('%T', time.localtime(since))})"
        self.status.update(**self.look())

    def over_memory(self) -> bool:
        """Our processes held more than they may, at a look at them that nobody had asked about."""
        if self.status.used_mb * 1e6 > NEAR * self.memory:
            self.status.measure(LOOK_S)
        if self.status.measured == self._looked:
            return False
        self._looked = self.status.measured
        self._over = self._over + 1 if self.status.used_mb * 1e6 > self.memory else 0
        return self._over > 0

    def look(self) -> dict[str, Any]:
        """What the status tells beside the progress."""
        if self._waits_for:
            return {"state": WAITING, "note": self._waits_for}
        near = self.neighbours
        self.status.rested(self.rested_s)
        if self.run_.nodes and self.run_.nodes.share < near.share:
            return {"state": YIELDING, "note": "others want the cores of a node that helps"}
        note = (
            f"others want {near.others:.1f} of {usable_cores()} cores: {near.allowed} of {near.workers} workers go on"
        )
        if near.yielding != self._yielding:
            self._yielding, self._reminded = near.yielding, time.monotonic()
            self.say(note if near.yielding else "the others have left: all workers go on")
        if near.yielding and time.monotonic() - self._reminded > REMIND_S:
            self._reminded = time.monotonic()
            way_out = (
                "" if near.allowed else "; runtime.yield_to_others: false goes on beside them at the lowest priority"
            )
            self.say(f"still left to others, {span(self.rested_s)} in all: {note}{way_out}")
        return {"state": YIELDING, "note": note} if near.yielding else {"state": RUNNING, "note": ""}


@contextmanager
def at_work(desk: Desk, gpus: int = 0) -> Iterator[bool]:
    """One job at a time at the desk's folder, as app.runtime.place has it; with its log, politeness and bar.

    Gives whether the lock holds. gpus: takes so many for the while, where there are as many, and at least one where
    there is one.
    """
    run, settings = desk.run_, desk.run_.config.runtime
    with placed(run, desk.folder, desk.status, desk.say) as locked:
        name = f"{desk.job}.{run.part.name}" if run.part else desk.job  # two on other nodes cannot share one
        desk.log = RotatingLog(run.folder / "logs" / f"{name}.log", settings.log_mb * 1e6)
        PACE.limit(settings.write_mb_s * 1e6)
        breathe_by(desk.breathe)
        desk.neighbours.start()
        desk.status.start(settings.heartbeat_s, desk.look)
        try:
            if gpus:
                desk.gpus = _gpus_of(desk, gpus)
            with bar_at_the_end(desk.label, lambda: desk.status.values) as desk.bar:
                yield locked
            desk.status.rested(desk.rested_s)
        finally:
            desk.status.quiet()
            desk.neighbours.end()
            breathe_by(None)
            desk.log.close()
            desk.log = None


def _gpus_of(desk: Desk, count: int) -> TakenGpus:
    """Taken once, and kept until the job is over: CUDA stays on the GPU where it has begun."""
    run = desk.run_
    if run.gpus is None:
        wanted = run.config.runtime.model_copy(update={"max_gpus": count})
        taken = taken_gpus(run.runs, desk.label, wanted, wait_state=desk.waits_for, say=desk.say, leave=run.stop.leave)
        run.gpus = run.leaving.enter_context(taken)
    return run.gpus
