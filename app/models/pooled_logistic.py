"""The quick baseline: statistics over time, then logistic regression. Trains in seconds, shows what is easy."""

import torch
from torch import Tensor, nn

from app.features.store import Batch
from app.models.inputs import Inputs

PART = 1024  # clips that are looked at together
STRENGTH = 0.01  # scikit-learn's C: small, for the test's voices are other voices


class PooledLogistic(nn.Module):
    """Mean, spread and mean change over time of every band and channel -> (fake, real) logits."""

    trains_in_closed_form = True
    mean: Tensor
    std: Tensor

    def __init__(self, mels: int, channels: tuple[str, ...]) -> None:
        super().__init__()
        self.inputs = Inputs(mels, channels)
        self.linear = nn.Linear(3 * (mels + len(channels)), 2)
        self.register_buffer("mean", torch.zeros(self.linear.in_features))
        self.register_buffer("std", torch.ones(self.linear.in_features))

    def forward(self, batch: Batch) -> Tensor:
        """(clips, 2) logits."""
        return self.linear((self.pooled(batch) - self.mean) / self.std)

    def pooled(self, batch: Batch) -> Tensor:
        """(clips, numbers) statistics over the sound frames; padding plays no part."""
        mel, temporal, mask = self.inputs(batch)
        values = torch.cat([mel, temporal], 1)
        count = mask.sum(-1).clamp_min(1.0)
        mean = values.sum(-1) / count
        spread = (((values - mean[..., None]) * mask).square().sum(-1) / count).sqrt()
        change = (values.diff(dim=-1).abs() * mask[..., 1:]).sum(-1) / (count - 1).clamp_min(1.0)
        return torch.cat([mean, spread, change], -1)

    @torch.no_grad()
    def fit(self, pooled: Tensor, targets: Tensor) -> None:
        """pooled: (clips, numbers), which is scaled in place; targets: (clips, 2) of 0 and 1, both in each column.

        Raises ValueError where a column holds one of them alone. `pooled` is all of a corpus that is in
        memory, once: it is neither copied nor made double.
        """
        from sklearn.linear_model import LogisticRegression  # a second and a half, which whoever only scores is spared

        parts = pooled.split(PART)
        mean = sum((part.double().sum(0) for part in parts), torch.zeros(())) / len(pooled)
        square = sum(((part.double() - mean).square().sum(0) for part in parts), torch.zeros(()))
        spread = (square / max(1, len(pooled) - 1)).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(spread > 1e-6, spread, 1.0))  # what never changes says nothing, and is not blown up
        pooled.sub_(self.mean).div_(self.std)
        for column in range(2):
            fitted = LogisticRegression(C=STRENGTH, max_iter=2000).fit(pooled.numpy(), targets[:, column].numpy())
            self.linear.weight[column] = torch.from_numpy(fitted.coef_[0])
            self.linear.bias[column] = float(fitted.intercept_[0])
