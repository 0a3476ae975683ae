"""Points to draw: ROC and reliability curves of one column."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import COLUMNS, checked
from app.scoring.bootstrap import Interval
from app.scoring.roc import auc_or_nan, roc_points
from app.scoring.shares import share_range

MOST_POINTS = 400  # of a drawn ROC: 50,000 clips must not make a page of megabytes


@dataclass(frozen=True)
class Roc:
    """False alarms and hits, both rising from 0 to 1, at falling thresholds."""

    column: str
    false_alarms: tuple[float, ...]
    hits: tuple[float, ...]
    auc: float


@dataclass(frozen=True)
class Reliability:
    """Bins that are not empty: mean score, share of positives with its interval, clips."""

    column: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    clips: tuple[int, ...]
    ranges: tuple[Interval, ...]  # of `observed`, 95 %


def roc_curves(labels: ArrayLike, scores: ArrayLike) -> list[Roc]:
    """ROC of each column that holds both classes; labels, scores: (clips, 2)."""
    y, p = checked(labels, scores)
    curves = []
    for c, column in enumerate(COLUMNS):
        if 0 < y[:, c].sum() < len(y):
            x, hits, _ = roc_points(y[:, c], p[:, c])
            keep = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
            curves.append(
                Roc(column, tuple(x[keep].tolist()), tuple(hits[keep].tolist()), auc_or_nan(y[:, c], p[:, c]))
            )
    return curves


def reliability_curves(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> list[Reliability]:
    """Reliability of each column; labels, scores: (clips, 2). A score on an edge is in the lower bin."""
    y, p = checked(labels, scores)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    curves = []
    for c, column in enumerate(COLUMNS):
        index = np.searchsorted(edges, p[:, c])
        counts = np.bincount(index, minlength=bins)
        full = counts > 0
        positives, totals = (np.bincount(index, w, bins)[full] for w in (y[:, c], p[:, c]))
        clips = counts[full].tolist()
        ranges = tuple(share_range(hits, of) for hits, of in zip(positives.tolist(), clips, strict=True))
        observed, predicted = ((sums / counts[full]).tolist() for sums in (positives, totals))
        curves.append(Reliability(column, tuple(predicted), tuple(observed), tuple(clips), ranges))
    return curves
