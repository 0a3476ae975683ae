"""The contest's score and its terms; the other measures can be had from here too.

Labels are 0/1 and scores lie in [0, 1]; columns are (fake, real) everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import COLUMNS, Array, checked
from app.scoring.ece import EceFloor, ece_corrected, ece_floor, ece_official
from app.scoring.roc import auc_or_nan, eer

__all__ = [
    "COLUMNS",
    "EceFloor",
    "Score",
    "auc_or_nan",
    "ece_floor",
    "eer",
    "official_score",
    "partial_score",
]


@dataclass(frozen=True)
class Score:
    """The official score (lower is better), its terms and both columns'.

    nan: not defined, because a column holds one class only (`partial_score`).
    """

    score: float  # 0.5 * (1 - auc) + 0.25 * brier + 0.25 * ece
    auc: float
    brier: float
    ece: float
    corrected_score: float  # the same with corrected_ece
    corrected_ece: float
    fake_auc: float
    real_auc: float
    fake_brier: float
    real_brier: float
    fake_ece: float
    real_ece: float
    fake_eer: float  # equal error rate
    real_eer: float


def official_score(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> Score:
    """Score as the contest computed it.

    labels, scores: (clips, 2). Raises ValueError on wrong shapes or values, and
    naming the column if it holds one class only (its AUC is not defined).
    Source: the evaluation code that DACON published for contest 236253 (2024),
    https://dacon.io/competitions/official/236253/talkboard/412029
    """
    y, p = checked(labels, scores)
    for name, column in zip(COLUMNS, y.T, strict=True):
        if column.min() == column.max():
            raise ValueError(f"column {name}: every label is {column[0]:g}, so its AUC is not defined")
    return partial_score(y, p, bins)


def partial_score(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> Score:
    """As `official_score`, with nan for what one class alone leaves undefined."""
    y, p = checked(labels, scores)
    auc = [auc_or_nan(y[:, c], p[:, c]) for c in (0, 1)]
    return score_of(auc, y, p, bins)


def score_of(column_auc: list[float], labels: Array, scores: Array, bins: int = 10) -> Score:
    """Score from AUCs (fake, real) already known; labels, scores: (clips, 2)."""
    brier = ((scores - labels) ** 2).mean(0).tolist()
    ece = [ece_official(labels[:, c], scores[:, c], bins) for c in (0, 1)]
    corrected = float(np.mean([ece_corrected(labels[:, c], scores[:, c], bins) for c in (0, 1)]))
    mean_auc, mean_brier, mean_ece = (float(np.mean(values)) for values in (column_auc, brier, ece))
    common = 0.5 * (1 - mean_auc) + 0.25 * mean_brier
    return Score(
        common + 0.25 * mean_ece, mean_auc, mean_brier, mean_ece,
        common + 0.25 * corrected, corrected, *column_auc, *brier, *ece,
        *(_eer_or_nan(labels[:, c], scores[:, c]) for c in (0, 1)),
    )  # fmt: skip


def _eer_or_nan(labels: Array, scores: Array) -> float:
    return float("nan") if labels.min() == labels.max() else eer(labels, scores)[0]
