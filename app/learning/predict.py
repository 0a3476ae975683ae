"""Logits of stored windows."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.features.at_once import AtOnce
from app.features.store import Batch, Features


@torch.no_grad()
def logits_of(
    model: nn.Module,
    features: Features,
    batch_clips: int | AtOnce,
    device: torch.device,
    between: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """(windows, 2), in the order of features.rows. `between` is called after each batch; it may raise to leave.

    A GPU without room for a batch gets half of it; an AtOnce remembers that from call to call.
    """
    room = batch_clips if isinstance(batch_clips, AtOnce) else AtOnce(batch_clips)
    model.eval()
    found, done = np.zeros((len(features), 2)), 0
    while done < len(features):
        numbers = np.arange(done, min(done + room.clips, len(features)))
        try:
            found[numbers] = model(to_device(features.batch(numbers), device)).double().cpu().numpy()
        except RuntimeError as error:
            if not room.halve(error):
                raise
            continue
        done += len(numbers)
        between()
    return found


def to_device(batch: Batch, device: torch.device) -> Batch:
    return batch if device.type == "cpu" else Batch(*(t.to(device, non_blocking=True) for t in batch))
