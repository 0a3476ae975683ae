"""Intervals: how far a number could lie elsewhere had other clips been drawn."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """95 % of the draws lie in [low, high]; nan where nothing could be drawn."""

    low: float
    high: float


NO_INTERVAL = Interval(float("nan"), float("nan"))


def interval_of(draws: ArrayLike) -> Interval:
    """The middle 95 % of a number's values over draws (`app.scoring.draws`), those that are nan left out.

    draws: (resamples,). With half of them or more nan (one class only), or without any, both ends are nan. What holds
    an ECE leans upwards on few clips, as the ECE itself does.
    """
    values = np.asarray(draws, float)
    kept = values[np.isfinite(values)]
    return Interval(*np.percentile(kept, (2.5, 97.5)).tolist()) if 2 * len(kept) > len(values) else NO_INTERVAL


def interval_about(value: float, draws: ArrayLike) -> Interval:
    """As `interval_of`, moved so that the draws' mean lies at `value`, the number of all clips.

    For differences of what holds an ECE: drawing again raises the ECE of the better calibrated one more, and would
    speak against it.
    """
    values = np.asarray(draws, float)
    kept = values[np.isfinite(values)]
    return interval_of(values - (kept.mean() - value)) if len(kept) else NO_INTERVAL
