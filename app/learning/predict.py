"""Logits of stored windows, and from windows to recordings."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.features.store import Batch, Features


@torch.no_grad()
def logits_of(
    model: nn.Module,
    features: Features,
    batch_clips: int,
    device: torch.device,
    between: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """(windows, 2), in the order of features.rows. `between` is called after each batch; it may raise to leave."""
    model.eval()
    found = [np.zeros((0, 2))]
    for _, batch in features.batches(batch_clips):
        found.append(model(to_device(batch, device)).double().cpu().numpy())
        between()
    return np.concatenate(found)


def to_device(batch: Batch, device: torch.device) -> Batch:
    return batch if device.type == "cpu" else Batch(*(t.to(device, non_blocking=True) for t in batch))


def by_recording(rows: Sequence[dict[str, Any]], values: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """Recording id -> (p_fake, p_real): the highest of its windows, for a voice is present if it is anywhere.

    rows: one a window, naming its recording in `clip`; values: (windows, 2) in [0, 1].
    """
    found: dict[str, tuple[float, float]] = {}
    for row, (fake, real) in zip(rows, values.tolist(), strict=True):
        before = found.get(row["clip"], (0.0, 0.0))
        found[row["clip"]] = (max(before[0], fake), max(before[1], real))
    return found
