"""Gradients of a batch, of as many clips at once as the GPU has room for."""

import torch
from torch import nn
from torch.nn import functional as F

from app.features.at_once import AtOnce
from app.features.store import Batch


def loss_with_gradients(model: nn.Module, batch: Batch, room: AtOnce, seed: int, clip_norm: float) -> float:
    """The batch's mean loss; its gradients, no longer than clip_norm, are in the model's parameters.

    A batch that does not fit is begun again, from the same seed, in parts half as large.
    But for rounding, parts add up to the whole; dropout draws other zeros in them. A
    BatchNorm (our models have none) would take each part's own mean, and count the failed try as well.
    """
    model.train()
    while True:
        torch.manual_seed(seed)
        model.zero_grad(set_to_none=True)
        size, loss = room.clips, 0.0
        try:
            for at in range(0, len(batch.targets), size):
                loss += _add_gradients(model, Batch(*(t[at : at + size] for t in batch)), len(batch.targets))
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            return loss
        except RuntimeError as error:
            if not room.halve(error):
                raise


def _add_gradients(model: nn.Module, part: Batch, clips: int) -> float:
    """Those of a part's share in the mean loss of `clips` clips; returns that share."""
    share = len(part.targets) / clips  # exactly 1 for a batch in one part
    loss = F.binary_cross_entropy_with_logits(model(part), part.targets) * share
    loss.backward()
    return float(loss.detach())
