"""What the quick models look at: statistics over time of every band and channel."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from app.features.batches import Batch
from app.models.inputs import Inputs

PART = 1024  # clips that are looked at together
LEAST_SPREAD = 1e-6  # what never changes says nothing, and is not blown up


class Pooled(nn.Module):
    """Mean, spread and mean change over time of every band and channel; a base of models."""

    mean: Tensor
    std: Tensor

    def __init__(self, mels: int, channels: tuple[str, ...]) -> None:
        super().__init__()
        self.inputs = Inputs(mels, channels)
        self.width = 3 * (mels + len(channels))
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("std", torch.ones(self.width))

    def learn(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Mean and spread of the features, in one pass."""
        self.inputs.learn(batches())

    def pooled(self, batch: Batch) -> Tensor:
        """(clips, width) statistics over the sound frames; padding plays no part."""
        mel, temporal, mask = self.inputs(batch)
        values = torch.cat([mel, temporal], 1)
        count = mask.sum(-1).clamp_min(1.0)
        mean = values.sum(-1) / count
        power = ((values - mean[..., None]) * mask).square().sum(-1) / count
        still = power == 0  # its root has no gradient
        spread = torch.where(still, 0.0, torch.where(still, 1.0, power).sqrt())
        change = (values.diff(dim=-1).abs() * mask[..., 1:]).sum(-1) / (count - 1).clamp_min(1.0)
        return torch.cat([mean, spread, change], -1)

    def scaled(self, pooled: Tensor) -> Tensor:
        """To mean 0 and spread 1 of the training clips, once `learn_scale` knows them."""
        return (pooled - self.mean) / self.std

    @torch.no_grad()
    def learn_scale(self, parts: Callable[[], Iterable[Tensor]]) -> None:
        """parts: begins a pass over the (clips, width) of all training clips, which is gone over twice."""
        counts, mean = 0, torch.zeros(self.width, dtype=torch.float64)
        for part in parts():
            counts, mean = counts + len(part), mean + part.double().sum(0).cpu()
        mean /= max(1, counts)
        square = torch.zeros_like(mean)
        for part in parts():
            square += (part.double().cpu() - mean).square().sum(0)
        spread = (square / max(1, counts - 1)).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(spread > LEAST_SPREAD, spread, 1.0))
