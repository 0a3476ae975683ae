"""Two models on the same clips: by how much one is better, and whether so few clips could show it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.scoring.arrays import Array
from app.scoring.bootstrap import NO_INTERVAL, Interval, interval_about, interval_of
from app.scoring.draws import mean_draws, score_draws
from app.scoring.metrics import partial_score
from app.scoring.scored import Scored
from app.scoring.slices import FEWEST, NO_SLICES, groups_of


@dataclass(frozen=True)
class Difference:
    """One measure of both; lower is better, so a difference below 0 speaks for the second."""

    name: str
    clips: int
    first: float
    second: float
    interval: Interval  # of second - first, by paired bootstrap: both on the same draws of clips

    @property
    def value(self) -> float:
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return bool(self.interval.low > 0 or self.interval.high < 0)


@dataclass(frozen=True)
class Group:
    """Some of the clips."""

    name: str
    brier: Difference  # mean of both columns
    score: Difference | None  # the official one; None where a column holds one class only


@dataclass(frozen=True)
class Changed:
    """A clip about which the two decide otherwise (p >= 0.5)."""

    clip: str
    column: str  # fake, real
    label: int
    first: float  # p
    second: float
    details: dict[str, object]

    @property
    def mended(self) -> bool:
        """The second is right."""
        return (self.second >= 0.5) == bool(self.label)


@dataclass(frozen=True)
class Paired:
    """One data set."""

    name: str
    score: Difference | None  # the official one; None where a column holds one class only
    wrong: tuple[Difference, Difference]  # share of wrong decisions: about a fake voice, about a real one
    groups: tuple[tuple[str, tuple["Group", ...]], ...]  # column -> its groups
    changed: tuple[Changed, ...]  # those that changed most come first


def paired(first: Scored, second: Scored, resamples: int, seed: int, bins: int = 10) -> Paired:
    """Both of the same clips in the same order. Raises ValueError where they are not."""
    if list(first.clips) != list(second.clips) or not np.array_equal(first.labels, second.labels):
        raise ValueError(f"{first.name}: not the same clips with the same labels")
    y = first.labels
    p, q = first.scores, second.scores
    wrong = [np.abs((one.scores >= 0.5) - y) for one in (first, second)]
    square = [((one.scores - y) ** 2).mean(1) for one in (first, second)]
    groups = []
    for column, values in first.details.items():
        if column in NO_SLICES:
            continue
        found = [
            Group(
                name,
                _mean_difference(name, square[0][inside], square[1][inside], resamples, seed),
                _score_difference(name, y[inside], p[inside], q[inside], resamples, seed, bins),
            )
            for name, inside in groups_of(column, values, y)
        ]
        if len(found) > 1:
            groups.append((column, tuple(found)))
    return Paired(
        first.name,
        _score_difference("score", y, p, q, resamples, seed, bins),
        (
            _mean_difference("fake voice", wrong[0][:, 0], wrong[1][:, 0], resamples, seed),
            _mean_difference("real voice", wrong[0][:, 1], wrong[1][:, 1], resamples, seed),
        ),
        tuple(groups),
        tuple(_changed(first, second)),
    )


def _score_difference(
    name: str, labels: Array, first: Array, second: Array, resamples: int, seed: int, bins: int
) -> Difference | None:
    if not (labels.mean(0) > 0).all() or not (labels.mean(0) < 1).all():
        return None
    scores = [partial_score(labels, one, bins).score for one in (first, second)]
    if len(labels) < FEWEST:
        return Difference(name, len(labels), scores[0], scores[1], NO_INTERVAL)
    draws = [score_draws(labels, one, resamples, seed, bins) for one in (first, second)]
    interval = interval_about(scores[1] - scores[0], draws[1] - draws[0])
    return Difference(name, len(labels), scores[0], scores[1], interval)


def _mean_difference(name: str, first: Array, second: Array, resamples: int, seed: int) -> Difference:
    enough = len(first) >= FEWEST
    interval = interval_of(mean_draws(second - first, resamples, seed)) if enough else NO_INTERVAL
    return Difference(name, len(first), float(first.mean()), float(second.mean()), interval)


def _changed(first: Scored, second: Scored) -> Sequence[Changed]:
    found = [
        Changed(
            first.clips[n],
            column,
            int(first.labels[n, c]),
            float(first.scores[n, c]),
            float(second.scores[n, c]),
            {key: values[n] for key, values in first.details.items()},
        )
        for c, column in enumerate(("fake", "real"))
        for n in np.flatnonzero((first.scores[:, c] >= 0.5) != (second.scores[:, c] >= 0.5)).tolist()
    ]
    return sorted(found, key=lambda one: -abs(one.second - one.first))
