"""The clips a model got most wrong, to look at and listen to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import checked


@dataclass(frozen=True)
class Mistake:
    """One clip: what it holds, what was answered, and the larger of the two errors."""

    clip: str
    fake: int
    real: int
    p_fake: float
    p_real: float
    error: float


def worst_mistakes(clips: Sequence[str], labels: ArrayLike, scores: ArrayLike, most: int = 12) -> list[Mistake]:
    """Clips off by more than 0.5 in a column, the worst first, at most `most`.

    clips: ids; labels, scores: (clips, 2). Ties keep the given order.
    Raises ValueError on wrong shapes, values or lengths.
    """
    y, p = checked(labels, scores)
    if len(clips) != len(y):
        raise ValueError(f"{len(clips)} ids for {len(y)} clips")
    error = np.abs(p - y).max(1)
    order = [i for i in np.argsort(-error, kind="stable")[:most] if error[i] > 0.5]
    return [
        Mistake(clips[i], int(y[i, 0]), int(y[i, 1]), float(p[i, 0]), float(p[i, 1]), float(error[i])) for i in order
    ]
