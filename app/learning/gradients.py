"""Gradients of a batch: of as many clips at once as the GPU has room for, summed over all processes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.features.at_once import AtOnce
from app.features.batches import AnyBatch
from app.learning.precision import Precision
from app.learning.world import Alone


def nothing() -> None:
    """What is done where nothing is asked for."""


def loss_with_gradients(
    model: nn.Module,
    batch: AnyBatch,
    room: AtOnce,
    seed: int,
    precision: Precision | None = None,
    world: Alone | None = None,
    clips: int | None = None,
    between: Callable[[], None] = nothing,
) -> Tensor:
    """The mean loss, a number on the batch's device; its gradients are in the model's parameters, scaled by precision.

    batch: this process' part of `clips` clips (without: all of them); it may be empty. The same loss and
    gradients are found by all of world. between: called between two parts; it may raise.

    A part that does not fit is begun again, from the same seed, in parts half as large.
    But for rounding, parts add up to the whole; dropout draws other zeros in them. A
    BatchNorm (our models have none) would take each part's own mean, and count the failed try as well.

    Gradients are summed once, after all parts, and not while they are computed, as
    DistributedDataParallel would: a process without room begins again without its peers taking notice.
    Nothing here waits for the GPU.
    """
    model.train()
    clips = len(batch.targets) if clips is None else clips
    while True:
        torch.manual_seed(seed)
        model.zero_grad(set_to_none=True)
        size, loss = room.clips, torch.zeros((), device=batch.targets.device)
        try:
            for at in range(0, len(batch.targets), size):
                if at:
                    between()
                loss = loss + _add_gradients(model, batch.part(at, size), clips, precision)
            break
        except RuntimeError as error:
            if not room.halve(error):
                raise
    if world is not None and world.size > 1:
        loss = _summed(model, loss, world)
    return loss


def _add_gradients(model: nn.Module, part: AnyBatch, clips: int, precision: Precision | None) -> Tensor:
    """Those of a part's share in the mean loss of `clips` clips; returns that share."""
    share = len(part.targets) / clips  # exactly 1 for a batch in one part
    if precision is None:
        loss = F.binary_cross_entropy_with_logits(model(part), part.targets) * share
        loss.backward()
    else:
        with precision.autocast():
            logits = model(part)
        loss = F.binary_cross_entropy_with_logits(logits.to(part.targets.dtype), part.targets) * share
        precision.scaled(loss).backward()
    return loss.detach()


def _summed(model: nn.Module, loss: Tensor, world: Alone) -> Tensor:
    """One sum over all processes: of the loss and of every gradient, one after another in one row.

    Gradients end as their parameters lie in memory (channels last): the optimizer's one kernel wants them alike.
    """
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in learnt]
    row = torch.cat([loss.to(parts[0].dtype).reshape(1), *(part.reshape(-1) for part in parts)])
    world.sum_(row)
    at = 1
    for parameter in learnt:
        parameter.grad = torch.empty_like(parameter).copy_(row[at : at + parameter.numel()].view_as(parameter))
        at += parameter.numel()
    return row[0]
