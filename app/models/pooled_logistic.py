"""The quick baseline: statistics over time, then logistic regression. Trains in seconds, shows what is easy."""

import torch
from torch import Tensor, nn

from app.config import Config
from app.features.batches import Batch
from app.features.frames import channel_names
from app.models.pooled import PART, Pooled

STRENGTH = 0.01  # scikit-learn's C: small, for the test's voices are other voices


class PooledLogistic(Pooled):
    """Pooled statistics -> (fake, real) logits."""

    trains_in_closed_form = True

    def __init__(self, mels: int, channels: tuple[str, ...]) -> None:
        super().__init__(mels, channels)
        self.linear = nn.Linear(self.width, 2)

    @classmethod
    def of(cls, config: Config) -> "PooledLogistic":
        return cls(config.extract.mels, channel_names(config.extract))

    def forward(self, batch: Batch) -> Tensor:
        """(clips, 2) logits."""
        return self.linear(self.scaled(self.pooled(batch)))

    @torch.no_grad()
    def fit(self, pooled: Tensor, targets: Tensor) -> None:
        """pooled: (clips, width), which is scaled in place; targets: (clips, 2) of 0 and 1, both in each column.

        Raises ValueError where a column holds one of them alone. `pooled` is all of a corpus that is in
        memory, once: it is neither copied nor made double.
        """
        from sklearn.linear_model import LogisticRegression  # a second and a half, which whoever only scores is spared

        self.learn_scale(lambda: pooled.split(PART))
        pooled.sub_(self.mean).div_(self.std)
        for column in range(2):
            fitted = LogisticRegression(C=STRENGTH, max_iter=2000).fit(pooled.numpy(), targets[:, column].numpy())
            self.linear.weight[column] = torch.from_numpy(fitted.coef_[0])
            self.linear.bias[column] = float(fitted.intercept_[0])
