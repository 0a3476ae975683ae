"""Expected calibration error: the contest's, a corrected one, and what chance alone leaves."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import Array, checked
from app.scoring.bootstrap import interval_of


class EceFloor(NamedTuple):
    """ECE that a perfectly calibrated model would show: mean and 95 % interval."""

    mean: float
    low: float
    high: float


def ece_official(labels: Array, scores: Array, bins: int = 10) -> float:
    """Expected calibration error of one column, with the contest's quirk.

    labels, scores: (clips,). The means of the bins come from scikit-learn's
    `calibration_curve`, where a score on an inner edge falls into the lower bin;
    their weights from `np.histogram`, where it falls into the upper one. Both
    leave empty bins out and are paired by position: surplus means are dropped.
    With surplus weights the contest's code fails (numpy cannot broadcast) unless
    there is a single mean, which then counts for every weight; here the surplus
    weights are dropped as well, so that every valid submission has a value.
    """
    edges = np.linspace(0, 1, bins + 1)
    return ece_of_bins(*_bins(labels, scores, edges), np.histogram(scores, bins=edges)[0])


def ece_of_bins(clips: ArrayLike, positives: ArrayLike, totals: ArrayLike, weights: ArrayLike) -> float:
    """The contest's, from what is in each bin, (bins,): clips, their labels' and scores' sums, and clips by the other
    rule for what lies on an edge.
    """
    clips, positives, totals, weights = (np.asarray(values, float) for values in (clips, positives, totals, weights))
    full = clips > 0
    gap = np.abs(positives[full] - totals[full]) / clips[full]
    weight = weights[weights > 0] / clips.sum()
    if len(gap) == 1:
        return float(weight.sum() * gap[0])
    shared = min(len(gap), len(weight))
    return float(weight[:shared] @ gap[:shared])


def ece_corrected(labels: Array, scores: Array, bins: int = 10) -> float:
    """Expected calibration error of one column, with one binning for means and weights."""
    clips, positives, totals = _bins(labels, scores, np.linspace(0, 1, bins + 1))
    return float(np.abs(positives - totals).sum() / clips.sum())


def ece_floor(scores: ArrayLike, draws: int = 200, seed: int = 0, bins: int = 10) -> EceFloor:
    """The ECE (mean over columns) that chance leaves a perfectly calibrated model.

    scores: (clips, 2). Labels are drawn from the scores themselves, `draws` times:
    what a measured ECE exceeds this by is miscalibration, the rest is few clips.
    """
    p = checked(np.zeros_like(np.asarray(scores, float)), scores)[1]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        y = (rng.random(p.shape) < p).astype(float)
        values.append(sum(ece_official(y[:, c], p[:, c], bins) for c in (0, 1)) / 2)
    return EceFloor(sum(values) / draws, *interval_of(values))


def _bins(labels: Array, scores: Array, edges: Array) -> tuple[Array, Array, Array]:
    """Of each bin: clips, sum of their labels, sum of their scores."""
    index = np.searchsorted(edges[1:-1], scores)
    ones = np.ones_like(scores)
    clips, positives, totals = (
        np.bincount(index, weights, len(edges) - 1).astype(float) for weights in (ones, labels, scores)
    )
    return clips, positives, totals
