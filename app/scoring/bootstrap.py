"""Intervals: how far a number could lie elsewhere had other clips been drawn."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import Array


class Interval(NamedTuple):
    """95 % of the draws lie in [low, high]; nan where nothing could be drawn."""

    low: float
    high: float


def bootstrap_interval(
    labels: ArrayLike, scores: ArrayLike, statistic: Callable[[Array, Array], float], resamples: int, seed: int
) -> Interval:
    """95 % percentile interval of `statistic(labels, scores)` over clips drawn with replacement.

    labels, scores: (clips, ...). A resample for which the statistic raises
    ValueError or is nan (one class only) is left out; with more than half left
    out, or resamples = 0, both ends are nan. A statistic that holds an ECE leans
    upwards on few clips, as the ECE itself does.
    """
    y, p = np.asarray(labels, float), np.asarray(scores, float)
    if len(y) != len(p) or not len(y):
        raise ValueError(f"{len(y)} labels and {len(p)} scores")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(y), len(y))
        try:
            values.append(statistic(y[drawn], p[drawn]))
        except ValueError:
            continue
    values = [value for value in values if np.isfinite(value)]
    return percentiles(values) if 2 * len(values) > resamples else Interval(float("nan"), float("nan"))


def percentiles(values: Sequence[float]) -> Interval:
    """The middle 95 % of `values`; nan without any."""
    low, high = np.percentile(values, (2.5, 97.5)).tolist() if values else (float("nan"), float("nan"))
    return Interval(low, high)
