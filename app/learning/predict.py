"""Logits of stored windows."""

from collections.abc import Callable

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
