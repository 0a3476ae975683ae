"""What every measure takes: labels of 0/1 and scores in [0, 1], columns (fake, real)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS = ("fake", "real")
Array = NDArray[np.float64]


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """Both as float64 (clips, 2). Raises ValueError saying what is wrong."""
    y, p = np.asarray(labels, float), np.asarray(scores, float)
    if y.ndim != 2 or y.shape[1] != 2 or not len(y) or y.shape != p.shape:
        raise ValueError(f"labels {y.shape} and scores {p.shape} must both be (clips, 2), columns (fake, real)")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not (np.isfinite(p) & (p >= 0) & (p <= 1)).all():
        raise ValueError("scores must be finite and lie in [0, 1]")
    return y, p
