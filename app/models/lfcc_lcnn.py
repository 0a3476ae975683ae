"""LFCC -> light CNN -> bidirectional LSTM -> mean over time: a baseline of the ASVspoof challenges.

A light CNN has max-feature-map activations: of each pair of channels the larger one goes on. G. Lavrentyeva et al.,
STC antispoofing systems for the ASVspoof2019 challenge, Interspeech 2019; with LSTMs: X. Wang, J. Yamagishi, A
comparative study on recent neural spoofing countermeasures, Interspeech 2021. Sizes are theirs. Two things are not:
norms look at one clip only, where theirs look at the batch, and there are two independent outputs.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from app.compat import in_full
from app.config import Config
from app.features.batches import Waves
from app.features.lfcc import COEFFICIENTS, Lfcc
from app.models.wave_inputs import heard

ROWS = 3 * COEFFICIENTS  # with both deltas
SPREAD = 1e-4


class LfccLcnn(nn.Module):
    trains_in_closed_form = False
    learning_rate = 1e-3
    mean: Tensor
    std: Tensor

    def __init__(self, sample_rate: int, dropout: float) -> None:
        super().__init__()
        self.lfcc = Lfcc(sample_rate)
        self.register_buffer("mean", torch.zeros(ROWS, 1))
        self.register_buffer("std", torch.ones(ROWS, 1))
        self.look = nn.Sequential(
            MaxOfPairs(1, 32, 5),
            nn.MaxPool2d(2),
            MaxOfPairs(32, 32, 1),
            norm(32),
            MaxOfPairs(32, 48, 3),
            nn.MaxPool2d(2),
            norm(48),
            MaxOfPairs(48, 48, 1),
            norm(48),
            MaxOfPairs(48, 64, 3),
            nn.MaxPool2d(2),
            MaxOfPairs(64, 64, 1),
            norm(64),
            MaxOfPairs(64, 32, 3),
            norm(32),
            MaxOfPairs(32, 32, 1),
            norm(32),
            MaxOfPairs(32, 32, 3),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
        )
        width = 32 * (ROWS // 16)
        self.listen = nn.ModuleList(nn.LSTM(width, width // 2, batch_first=True, bidirectional=True) for _ in range(2))
        self.head = nn.Linear(width, 2)

    @classmethod
    def of(cls, config: Config) -> "LfccLcnn":
        return cls(config.sample_rate, config.train.dropout)

    @torch.no_grad()
    def learn(self, batches: Callable[[], Iterable[Waves]]) -> None:
        """Mean and spread of every coefficient over the training clips, in one pass."""
        count = torch.zeros((), dtype=torch.float64)
        total, square = (torch.zeros(ROWS, dtype=torch.float64) for _ in range(2))
        for batch in batches():
            values = self.lfcc(heard(batch)).double().cpu()
            count = count + values.shape[0] * values.shape[-1]
            total, square = total + values.sum((0, 2)), square + values.square().sum((0, 2))
        mean = total / count
        self.mean.copy_(mean[:, None])
        self.std.copy_((square / count - mean.square()).clamp_min(0).sqrt().clamp_min(SPREAD)[:, None])

    def forward(self, batch: Waves) -> Tensor:
        """(clips, 2) logits."""
        with in_full(batch.wave.device):
            values = (self.lfcc(heard(batch)) - self.mean) / self.std
        seen = self.look(values.clamp(-8, 8).transpose(1, 2)[:, None])  # (clips, channels, steps, rows)
        steps = seen.transpose(1, 2).flatten(2)
        with in_full(batch.wave.device):
            steps = once = steps.to(self.head.weight.dtype)
            for lstm in self.listen:
                steps, _ = lstm(steps)
            return self.head((steps + once).mean(1))


class MaxOfPairs(nn.Module):
    """A convolution to twice the channels, of which the larger of each pair stays."""

    def __init__(self, before: int, after: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 2 * after, size, 1, size // 2)

    def forward(self, values: Tensor) -> Tensor:
        one, other = self.conv(values).chunk(2, 1)
        return torch.maximum(one, other)


def norm(channels: int) -> nn.Module:
    """Zero mean and unit spread over all of one clip, then a gain and a bias for each channel."""
    return nn.GroupNorm(1, channels)
