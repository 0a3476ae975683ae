"""The receiver operating characteristic of one column, and what is read off it.

Tested against scikit-learn, which takes seconds to import where this takes none.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from app.scoring.arrays import Array


def roc_points(labels: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """False alarms and hits (both rise from 0 to 1), and thresholds (fall from infinity).

    labels, scores: (clips,). A point for each distinct score: all clips with that
    score or more are taken as present. Raises ValueError on shapes, values that
    are not finite, or if labels are not 0 and 1, both of them.
    """
    y, s = np.asarray(labels, float), np.asarray(scores, float)
    if y.ndim != 1 or y.shape != s.shape or not np.isfinite(s).all():
        raise ValueError(f"labels {y.shape} and scores {s.shape} must be finite and of one dimension")
    if set(np.unique(y)) != {0.0, 1.0}:
        raise ValueError("labels must be 0 and 1, both of them")
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)  # of each run of equal scores
    hits = np.append(0, y.cumsum()[last])
    false_alarms = np.append(0, last + 1) - hits
    return false_alarms / false_alarms[-1], hits / hits[-1], np.append(np.inf, s[last])


def auc_or_nan(labels: Array, scores: Array) -> float:
    """Area under the ROC, ties count half; nan if one class is missing."""
    if labels.min() == labels.max():
        return float("nan")
    false_alarms, hits, _ = roc_points(labels, scores)
    return float(trapezoid(hits, false_alarms))


def eer(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Equal error rate of one column, and the threshold (score >= it: present) there.

    labels, scores: (clips,). Where misses and false alarms cross between two
    points of the ROC, both they and the threshold are interpolated linearly (no
    convex hull). A constant score has 0.5. Raises ValueError as `roc_points`.
    """
    false_alarms, hits, thresholds = roc_points(labels, scores)
    lead = (1 - hits) - false_alarms  # falls from 1 to -1
    after = int(np.argmax(lead <= 0))
    share = lead[after - 1] / (lead[after - 1] - lead[after])
    rate = false_alarms[after - 1] + share * (false_alarms[after] - false_alarms[after - 1])
    low, high = thresholds[after], thresholds[after - 1]
    return float(rate), float(low if np.isinf(high) else high + share * (low - high))
