"""By what the best epoch, and the best model, are chosen: their answers on *select*."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from app.features.store import Stored
from app.scoring.metrics import official_score


def select_metrics(logits: NDArray[np.float64], select: Stored[Any]) -> dict[str, float]:
    """Loss and official score (uncalibrated) on *select*, by which the model is chosen."""
    targets = targets_of(select)
    score = official_score(targets, 1 / (1 + np.exp(-logits)))
    loss = float(F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(targets)))
    return {"select_loss": loss, "select_score": score.score, "select_auc": score.auc}


def targets_of(features: Stored[Any]) -> NDArray[np.float64]:
    """(windows, 2): (fake, real) of each window; NaN where unknown."""
    return np.array([(row.fake, row.real) for row in features.rows], float)
