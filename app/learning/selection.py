"""By what the best epoch, and the best model, are chosen: their answers on *select*."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from app.features.store import Stored
from app.scoring.metrics import official_score


def select_metrics(logits: NDArray[np.float64], select: Stored[Any]) -> dict[str, float]:
    """Loss on *select*, official score, by which the model is chosen, and its terms."""
    targets = targets_of(select)
    score = official_score(targets, 1 / (1 + np.exp(-logits)))
    loss = float(F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(targets)))
    terms = {"select_auc": score.auc, "select_brier": score.brier, "select_ece": score.ece}
    return {"select_loss": loss, "select_score": score.score, **terms}


def targets_of(features: Stored[Any]) -> NDArray[np.float64]:
    """(windows, 2): (fake, real) of each window; NaN where unknown."""
    return np.array([(row.fake, row.real) for row in features.rows], float)
