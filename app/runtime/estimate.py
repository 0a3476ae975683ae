"""From a probe of few clips to a whole run: what is paid once is kept apart from what each clip costs.

Plain arithmetic on the numbers of status files. A unit is what a job's work grows with: a
second of sound, a planned clip, a window.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    start_s: however much there is to do: imports, workers, the first clip of each, the end. own_s: per unit, in the
    job's own process. busy_s: per unit, of one core's time.
    """

    start_s: float
    own_s: float
    busy_s: float

    def seconds(self, units: float, workers: int, cores: int) -> float:
        """From start to end with so many workers; more than there are cores bring nothing."""
        return self.start_s + units * (self.own_s + self.busy_s / min(workers, cores))


def cost_of(
    seconds: float,
    shards: Sequence[tuple[float, float]],
    workers: int,
    cores: int,
    own_s: float = 0.0,
    warm_s: float | None = None,
) -> Cost:
    """The cost behind a probe that took `seconds` in all.

    shards: (units, seconds) of each, in the order in which they were handed out, so that the
    first `workers` of them are each a worker's first and hold what it pays once: they stay
    out of the rate. own_s: of the seconds, what the job's own process took and what grows with
    the units. warm_s: what a worker pays once, where no shard was left to tell it.
    """
    units = sum(each for each, _ in shards)
    if not units:
        return Cost(max(0.0, seconds - own_s), 0.0, 0.0)
    first, rest = shards[:workers], shards[workers:]
    if rest and sum(each for each, _ in rest):
        rate = _rate(rest)
    else:
        paid_once = min((warm_s or 0.0) * len(shards), 0.8 * sum(spent for _, spent in shards))
        rate = (sum(spent for _, spent in shards) - paid_once) / units
    warm = max(0.0, sum(spent - rate * each for each, spent in first) / len(first))
    start = max(0.0, seconds - own_s - makespan([spent for _, spent in shards], workers))
    # more workers than cores share them: each shard took longer by that
    return Cost(start + warm, own_s / units, rate * min(workers, cores) / workers)


def warm_up(shards: Sequence[tuple[float, float]], workers: int) -> float:
    """Seconds that a worker pays once, before its work is at its usual rate."""
    rest = shards[workers:]
    if not rest or not sum(each for each, _ in rest):
        return 0.0
    rate = _rate(rest)
    return max(0.0, sum(spent - rate * each for each, spent in shards[:workers]) / workers)


def _rate(shards: Sequence[tuple[float, float]]) -> float:
    """Seconds a unit, of the middle shard: these last hundredths, and one that was held up must not count for all."""
    return median(spent / units for units, spent in shards if units)


def makespan(spent: Sequence[float], workers: int) -> float:
    """Seconds until shards are done that go, in order, to whoever is free."""
    free_at = [0.0] * max(1, workers)
    for each in spent:
        heapq.heappush(free_at, heapq.heappop(free_at) + each)
    return max(free_at)


@dataclass(frozen=True)
class Threads:
    """How work in one process goes with its math threads: a share of it alone, the rest divided among them."""

    alone: float  # 0..1, of the time with one thread

    def against(self, threads: int, measured: int) -> float:
        """Time with `threads`, as a multiple of that with `measured`."""
        return self._share(threads) / self._share(measured)

    def _share(self, threads: int) -> float:
        return self.alone + (1 - self.alone) / threads


def threads_from(one: tuple[int, float], other: tuple[int, float]) -> Threads:
    """From (threads, seconds) of the same work twice, by Amdahl's law; alone is kept within 0 and 1."""
    (few, long), (many, short) = sorted((one, other))
    if few == many or long <= 0:
        return Threads(1.0)
    ratio = short / long
    # ratio = (a + (1 - a) / many) / (a + (1 - a) / few), solved for a
    below = (1 - 1 / many) - ratio * (1 - 1 / few)
    return Threads(min(1.0, max(0.0, (ratio / few - 1 / many) / below if below > 0 else 1.0)))


@dataclass(frozen=True)
class Training:
    """What a training takes, beside its start."""

    start_s: float
    learn_s: float  # per training clip, once: the statistics of the inputs
    step_s: float  # per step
    validate_s: float  # per clip of select, each epoch, and of both halves at the end
    save_s: float  # each epoch

    def epoch_seconds(self, steps: int, select: int) -> float:
        return steps * self.step_s + select * self.validate_s + self.save_s

    def seconds(self, epochs: int, steps: int, train: int, select: int, calibrate: int) -> float:
        once = self.start_s + train * self.learn_s + (select + calibrate) * self.validate_s
        return once + epochs * self.epoch_seconds(steps, select)


def training_of(
    seconds: float, steps_s: dict[str, float], epoch_s: Sequence[float], steps: int, train: int, select: int, both: int
) -> Training:
    """The cost behind a probe of a few epochs; the first, in which all is new, tells nothing of the rate.

    steps_s: seconds by name, over all epochs. epoch_s: of each, with its validation and save.
    """
    epochs = max(1, len(epoch_s))
    validate = steps_s.get("validate", 0.0) / epochs / max(1, select)
    save = steps_s.get("save", 0.0) / epochs
    step = max(0.0, epoch_s[-1] - validate * select - save) / max(1, steps) if epoch_s else 0.0
    learn = steps_s.get("learn inputs", 0.0)
    start = max(0.0, seconds - epochs * (steps * step + validate * select + save) - learn - both * validate)
    return Training(start, learn / max(1, train), step, validate, save)
