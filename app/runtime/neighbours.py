"""Leaves the cores to those who need them: how many workers may work, so that others keep theirs.

neighbours = Neighbours(runs, workers, config.runtime, pids)
neighbours.start()
...  # neighbours.allowed workers may work now
neighbours.end()
"""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from app.config import RuntimeConfig
from app.runtime.backoff import Backoff, free_workers, my_share
from app.runtime.descendants import Descendants
from app.runtime.live import EVERY_S, LiveFile, LiveJob
from app.runtime.load import Load, LoadMeter, Use
from app.runtime.machine import usable_cores

FIRST_LOOK_S = 0.25
LOOKS = 5  # a period
GLANCES = 4  # a look
SURE = 2  # looks that agree
COST = 0.004  # of our workers' cores, that looking may take: dearer looks are rarer


class Neighbours:
    """Watches the others in a thread of its own; `allowed`, `yielding`, `others` and `share` are cheap to read.

    workers: how many this job would have; more than usable_cores() are of no use, and not allowed.
    pids: gives the job's processes, several times a second; default: this one and its descendants.
    With settings.yield_to_others off all workers are always allowed, and only our other
    jobs are told of us.
    """

    def __init__(
        self, runs: Path, workers: int, settings: RuntimeConfig, pids: Callable[[], Iterable[int]] | None = None
    ) -> None:
        self.settings = settings
        self.workers = min(workers, usable_cores()) if settings.yield_to_others else workers
        self.allowed = self.workers
        self.others = 0.0  # cores that others use, or would use without us
        self.cost = 0.0  # cores that watching takes
        self._cpus = sorted(os.sched_getaffinity(0))
        self._pids = pids or Descendants()
        self._live = LiveFile(runs, self.workers, self._cpus)
        self._beside: list[LiveJob] = []
        self._told = -math.inf
        self._loads: deque[Load] = deque()
        self._backoff: Backoff | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = time.monotonic()
        self._meter = self._new_meter()

    @property
    def yielding(self) -> bool:
        return self.allowed < self.workers

    @property
    def share(self) -> float:
        """Of the time, that a job of one process may compute: 0 to 1."""
        return self.allowed / self.workers

    def start(self) -> None:
        """Looks a first time, before any work begins: 0.25 s after __init__ at the earliest."""
        if time.monotonic() - self._began > self.settings.yield_period_s:  # what was so long ago is not the load of now
            self._meter, self._began = self._new_meter(), time.monotonic()
        time.sleep(max(0.0, self._began + FIRST_LOOK_S - time.monotonic()))
        self._try(self._look)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="neighbours")
        self._thread.start()

    def end(self) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()
        self._live.remove()

    def _watch(self) -> None:
        every_s = pause_s = self.settings.yield_period_s / LOOKS
        began, before, spent = time.monotonic(), time.thread_time(), 0.0
        while not self._end.is_set():
            for _ in range(GLANCES - 1):
                if self._end.wait(pause_s / GLANCES):
                    return
                self._try(self._glance)
            self._end.wait(pause_s / GLANCES)
            self._try(self._look)
            spent, last = time.thread_time() - before, spent
            pause_s = max(every_s, (spent - last) / (COST * self.workers))
            self.cost = spent / (time.monotonic() - began)

    def _try(self, step: Callable[[], None]) -> None:
        """What cannot be read now may be read next time: no reason to stop watching, nor the job."""
        try:
            step()
        except OSError:
            pass

    def _glance(self) -> None:
        if self._meter:
            self._meter.glance()

    def _look(self) -> None:
        pids, tell = self._pids(), time.monotonic() - self._told >= EVERY_S
        if tell:
            self._beside = self._live.beside()
        if self._meter:
            self._loads.append(self._meter.look(pids, {j.name: j.pids for j in self._beside if self._live.sees(j)}))
        spare = sum(load.seconds for load in self._loads) - self.settings.yield_period_s
        while self._loads and self._loads[0].seconds <= spare:
            spare -= self._loads.popleft().seconds
        load = sum(self._loads, Load())
        if tell:
            self._live.write(pids, load.mine * (1 / max(load.seconds, 1e-6)))
            self._told = time.monotonic()
        if self.settings.yield_to_others and self._meter:
            self._decide(load)

    def _decide(self, load: Load) -> None:
        parts = [job.use * _overlap(job, self._cpus) for job in self._beside if not self._live.sees(job)]
        unseen = sum(parts, Use())
        # on average, or as much at each of the last looks: who comes is not to wait for the average
        now = min(each.others(unseen) for each in list(self._loads)[-SURE:]) if len(self._loads) >= SURE else 0.0
        self.others = max(load.others(unseen), now)
        free = free_workers(len(self._cpus), self.others, self.settings.yield_slack)
        jobs = [(job.started, job.name, job.workers) for job in self._beside]
        share = my_share(free, [*jobs, (self._live.started, self._live.name, self.workers)], self._live.name)
        if self._backoff is None:
            self._backoff = Backoff(self.settings.yield_resume_s, share)
        self.allowed = self._backoff.decide(time.monotonic(), share)

    def _new_meter(self) -> LoadMeter | None:
        try:
            return LoadMeter(self._cpus, self._pids())
        except OSError:
            return None  # no /proc here: nothing can be seen of others


def _overlap(job: LiveJob, cpus: Iterable[int]) -> float:
    """Of the job's work, the part that runs on these cores."""
    return len(set(job.cpus) & set(cpus)) / len(job.cpus)
