"""What an answer that listens to nothing scores: the floors a model must beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import checked
from app.scoring.metrics import Score, score_of


@dataclass(frozen=True)
class Floor:
    """A constant answer and its score."""

    name: str
    p_fake: float
    p_real: float
    score: Score


def floors(labels: ArrayLike, bins: int = 10) -> list[Floor]:
    """All 0.5, and the share of each class in these very labels (an oracle's constant).

    labels: (clips, 2). The AUC of a constant is 0.5, also where one class is
    missing, so no term is nan. Raises ValueError on wrong shapes or values.
    """
    y, _ = checked(labels, np.zeros_like(np.asarray(labels, float)))
    rows = (("all 0.5", np.full(2, 0.5)), ("prevalence", y.mean(0)))
    return [
        Floor(name, float(p[0]), float(p[1]), score_of([0.5, 0.5], y, np.broadcast_to(p, y.shape), bins))
        for name, p in rows
    ]
