"""Yes or no: thresholds for those who need one, and how often they are wrong elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import COLUMNS, Array, checked
from app.scoring.bootstrap import Interval
from app.scoring.roc import eer, roc_points
from app.scoring.shares import share_range

FALSE_ALARMS = (0.01, 0.05)


class Threshold(NamedTuple):
    """A voice is said to be there where its p is `p` or more."""

    column: str
    rule: str  # what it was chosen by
    p: float


class Decision(NamedTuple):
    """How a threshold does on a data set; nan where it has none of the clips that this needs."""

    threshold: Threshold
    hits: float  # share of the clips with such a voice that are called so
    false_alarms: float  # share of those without one
    hit_range: Interval  # 95 %
    alarm_range: Interval


def thresholds_of(labels: ArrayLike, scores: ArrayLike) -> list[Threshold]:
    """For each column: at the equal error rate, and with at most 1 % and 5 % of false alarms.

    labels, scores: (clips, 2). Chosen on clips that fitted nothing else of importance, to be used on others. A column
    with one class has none. Raises ValueError on shapes or values.
    """
    y, p = checked(labels, scores)
    found = []
    for c, column in enumerate(COLUMNS):
        if y[:, c].min() == y[:, c].max():
            continue
        found.append(Threshold(column, "EER", eer(y[:, c], p[:, c])[1]))
        false_alarms, _, thresholds = roc_points(y[:, c], p[:, c])
        for most in FALSE_ALARMS:
            last = int(np.flatnonzero(false_alarms <= most)[-1])
            # none of the scores keeps to it: above the highest
            at = thresholds[last] if last else np.nextafter(thresholds[1], 2.0)
            found.append(Threshold(column, f"{most:.0%} false alarms", float(at)))
    return found


def decisions(labels: ArrayLike, scores: ArrayLike, thresholds: Iterable[Threshold]) -> list[Decision]:
    """labels, scores: (clips, 2) of any data set. Raises ValueError on shapes or values."""
    y, p = checked(labels, scores)
    return [_decided(y, p, threshold) for threshold in thresholds]


def from_json(values: Iterable[Mapping[str, Any]]) -> list[Threshold]:
    return [Threshold(value["column"], value["rule"], value["p"]) for value in values]


def _decided(labels: Array, scores: Array, threshold: Threshold) -> Decision:
    c = COLUMNS.index(threshold.column)
    said, there = scores[:, c] >= threshold.p, labels[:, c] > 0
    counts = [(float(said[which].sum()), float(which.sum())) for which in (there, ~there)]
    hits, alarms = (called / of if of else float("nan") for called, of in counts)
    return Decision(threshold, hits, alarms, share_range(*counts[0]), share_range(*counts[1]))
