"""Pooled statistics, then two hidden layers: what they say together, without time."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from app.config import Config
from app.features.batches import Batch
from app.features.frames import channel_names
from app.models.pooled import Pooled

HIDDEN = 64
FARTHEST = 6.0  # spreads: what lies further out is as far out


class PooledMlp(Pooled):
    """Pooled statistics -> (fake, real) logits. It is trained step by step, as the networks above it."""

    trains_in_closed_form = False
    learning_rate = 1e-3

    def __init__(self, mels: int, channels: tuple[str, ...], dropout: float) -> None:
        super().__init__(mels, channels)
        self.head = nn.Sequential(
            nn.Linear(self.width, HIDDEN),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, 2),
        )

    @classmethod
    def of(cls, config: Config) -> "PooledMlp":
        return cls(config.extract.mels, channel_names(config.extract), config.train.dropout)

    @torch.no_grad()
    def learn(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """The features' mean and spread, then those of their statistics: three passes, each as a fit has two of."""
        super().learn(batches)
        self.learn_scale(lambda: (self.pooled(batch) for batch in batches()))

    def forward(self, batch: Batch) -> Tensor:
        """(clips, 2) logits."""
        return self.head(self.scaled(self.pooled(batch)).clamp(-FARTHEST, FARTHEST))
