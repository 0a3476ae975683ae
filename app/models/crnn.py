"""The main model: mel -> CNN, temporal features -> bidirectional RNN, concatenated -> MLP -> (fake, real).

Norms look at one clip only, padding is masked everywhere, and no sequence is packed:
a clip's answer does not depend on its neighbours in the batch nor on how far it is padded.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.compat import gelu, in_full, is_compiling
from app.config import Config
from app.features.batches import Batch
from app.features.frames import channel_names
from app.models.both_ways import both_ways
from app.models.inputs import Inputs

RNN_STRIDE = 4  # frames a step of the RNN
EPSILON = 1e-5  # added to a clip's variance, as torch does


class Crnn(nn.Module):
    trains_in_closed_form = False
    learning_rate = 2e-3

    def __init__(
        self, mels: int, channels: tuple[str, ...], cnn_channels: tuple[int, ...], rnn_hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.inputs = Inputs(mels, channels)
        widths = [1, *cnn_channels]
        self.stages = nn.ModuleList(Stage(a, b) for a, b in pairwise(widths))
        heights = mels
        for _ in cnn_channels:
            heights = (heights + 1) // 2
        self.seen = Pool(cnn_channels[-1] * heights, dropout)
        self.shrink = nn.Conv1d(len(channels), rnn_hidden, 2 * RNN_STRIDE + 1, RNN_STRIDE, RNN_STRIDE)
        self.forwards = nn.GRU(rnn_hidden, rnn_hidden, batch_first=True)
        self.backwards = nn.GRU(rnn_hidden, rnn_hidden, batch_first=True)
        self.heard = Pool(2 * rnn_hidden, dropout)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(self.seen.width + self.heard.width, 128),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(128, 2),
        )

    @classmethod
    def of(cls, config: Config) -> "Crnn":
        how = config.train
        return cls(config.extract.mels, channel_names(config.extract), how.cnn_channels, how.rnn_hidden, how.dropout)

    def learn(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Mean and spread of the features, in one pass."""
        self.inputs.learn(batches())

    def forward(self, batch: Batch) -> Tensor:
        """(clips, 2) logits."""
        mel, temporal, mask = self.inputs(batch)
        seen = self.look(mel, mask, batch.padded)
        with in_full(temporal.device):  # cuDNN's GRU takes float16 for bfloat16 under autocast; it is small anyway
            heard = self.listen(temporal, mask)
        return self.head(torch.cat([seen.to(heard.dtype), heard], -1))

    def look(self, mel: Tensor, mask: Tensor, padded: bool) -> Tensor:
        values = mel[:, None]
        for stage in self.stages:
            mask = mask[..., ::2]
            values = stage(values, mask[:, None] if padded else None)
        return self.seen(values.flatten(1, 2), mask)

    def listen(self, temporal: Tensor, mask: Tensor) -> Tensor:
        mask = mask[..., ::RNN_STRIDE]
        steps = gelu(self.shrink(temporal)) * mask
        steps = steps.transpose(1, 2)
        lengths = mask.sum((1, 2)).long()
        turned = reversed_within(steps, lengths)
        if steps.device.type == "cpu" and not is_compiling():
            there, back = both_ways(self.forwards, self.backwards, steps, turned)
        else:
            (there, _), (back, _) = self.forwards(steps), self.backwards(turned)
        both = torch.cat([there, reversed_within(back, lengths)], -1).transpose(1, 2)
        return self.heard(both * mask, mask)


class Stage(nn.Module):
    """Halves both axes, then one residual convolution, which the first stage does without."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(before, after, 3, 2, 1) if before > 1 else FirstConv(after)
        self.norm = ClipNorm(after)
        self.deepen = nn.Conv2d(after, after, 3, 1, 1) if before > 1 else None
        self.norm_deep = ClipNorm(after) if before > 1 else None

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        values = F.relu_(self.norm(self.halve(values), mask))
        if self.deepen and self.norm_deep:
            values = F.relu_(self.norm_deep(self.deepen(values), mask) + values)
        return values


class FirstConv(nn.Conv2d):
    """Conv2d(1, channels, 5, stride 2, padding 2), in a third of the time on a CPU.

    One channel leaves its vectors empty: the four phases of the picture become channels of a 3x3 convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, 5, 2, 2)

    def forward(self, values: Tensor) -> Tensor:
        """(clips, 1, height, frames) -> (clips, channels, height / 2, frames / 2), halves rounded up."""
        height, frames = values.shape[-2:]
        phases = F.pixel_unshuffle(F.pad(values, (2, 2 + frames % 2, 2, 2 + height % 2)), 2)
        return F.conv2d(phases, F.pixel_unshuffle(F.pad(self.weight, (0, 1, 0, 1)), 2), self.bias)


class ClipNorm(nn.Module):
    """Zero mean and unit spread over all sound positions of one clip, then a gain and a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """values: (clips, channels, height, frames); mask: (clips, 1, 1, frames) of 0 and 1, None where all is sound.

        Returns 0 in the padding, whatever stands there.
        """
        if mask is None:
            return F.group_norm(values, 1, self.gain.flatten(), self.bias.flatten(), EPSILON)
        values = values * mask
        count = mask.sum((1, 2, 3), keepdim=True).clamp_min(1.0) * values.shape[1] * values.shape[2]
        mean = values.sum((1, 2, 3), keepdim=True) / count
        square = values.square().sum((1, 2, 3), keepdim=True) / count
        scale = self.gain * (square - mean.square()).clamp_min(0.0).add(EPSILON).rsqrt()
        return (values * scale + (self.bias - mean * scale)) * mask


class Pool(nn.Module):
    """(clips, features, frames) -> (clips, width): the maximum, and attention: a short fake passage counts."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Conv1d(features, 1, 1, bias=False)  # a softmax takes no notice of a shift
        self.width = 2 * features

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        values = self.dropout(values)
        hidden = mask == 0
        weights = self.score(values).masked_fill(hidden, -1e4).softmax(-1)
        highest = values.masked_fill(hidden, -1e4).amax(-1)
        return torch.cat([(values * weights).sum(-1), highest], -1)


def reversed_within(steps: Tensor, lengths: Tensor) -> Tensor:
    """(clips, steps, features) turned round within each clip's length; padding stays where it is.

    What packing does for a backward RNN, without leaving the device.
    """
    index = torch.arange(steps.shape[1], device=steps.device)[None]
    turned = torch.where(index < lengths[:, None], lengths[:, None] - 1 - index, index)
    return steps.gather(1, turned[..., None].expand_as(steps))
