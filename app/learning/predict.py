"""Logits of stored windows."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.features.at_once import AtOnce
from app.features.store import Stored
from app.learning.precision import Precision


@torch.no_grad()
def logits_of(
    model: nn.Module,
    features: Stored[Any],
    batch_clips: int | AtOnce,
    device: torch.device,
    between: Callable[[], None] = lambda: None,
    numbers: NDArray[np.int64] | None = None,
    precision: Precision | None = None,
) -> NDArray[np.float64]:
    """(windows, 2) of the windows `numbers`, or of all, in the order of features.rows.

    `between` is called after each batch; it may raise to leave. precision: as the model was trained; else float32.

    A GPU without room for a batch gets half of it; an AtOnce remembers that from call to call.
    """
    room = batch_clips if isinstance(batch_clips, AtOnce) else AtOnce(batch_clips)
    numbers = np.arange(len(features)) if numbers is None else numbers
    dtype, half = (precision.weights, precision.autocast) if precision else (torch.float32, nullcontext)
    model.eval()
    found, done = np.zeros((len(numbers), 2)), 0
    while done < len(numbers):
        part = numbers[done : done + room.clips]
        try:
            with half():
                logits = model(features.stored_batch(part).to(device, dtype))
            found[done : done + len(part)] = logits.double().cpu().numpy()
        except RuntimeError as error:
            if not room.halve(error):
                raise
            continue
        done += len(part)
        between()
    return found
