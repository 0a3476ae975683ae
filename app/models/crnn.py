"""The main model: mel -> CNN, temporal features -> convolutions and a bidirectional RNN, concatenated -> MLP -> (fake,
real).

Mean and spread over time, weighted by attention, are what is kept of a clip (K. Okabe et al., Attentive statistics
pooling, Interspeech 2018): so a short fake passage counts.

Norms look at one clip only, padding is masked everywhere, and no sequence is packed:
a clip's answer does not depend on its neighbours in the batch nor on how far it is padded.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.compat import in_full, is_compiling
from app.config import Config
from app.features.batches import Batch
from app.features.frames import channel_names
from app.models.both_ways import both_ways
from app.models.inputs import Inputs

HEADS = 2  # of the attention: one for each kind of voice
EPSILON = 1e-5  # added to a clip's variance, as torch does
LEAST_SPREAD = 0.05  # of a clip's mean measures, on the scales that the network has; what never differs is not blown up
FAR = 5.0  # spreads from the middle, beyond which a measure is no stranger
STEADY = 1e-2  # added to the variance of what is kept: where nothing moves its root would be infinitely steep


class Crnn(nn.Module):
    plain_mean: Tensor
    plain_std: Tensor

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
        self.flat = nn.Conv1d(cnn_channels[-1] * heights, rnn_hidden, 1)
        self.seen = Pool(rnn_hidden)
        self.register_buffer("plain_mean", torch.zeros(2 * len(channels)))
        self.register_buffer("plain_std", torch.ones(2 * len(channels)))
        self.near = Step(len(channels), rnn_hidden, 9)
        self.far = Step(rnn_hidden, rnn_hidden, 5)
        self.forwards = nn.GRU(rnn_hidden, rnn_hidden, batch_first=True)
        self.backwards = nn.GRU(rnn_hidden, rnn_hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.heard = Pool(3 * rnn_hidden)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(self.seen.width + self.heard.width + 2 * len(channels), 128),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(128, 2),
        )

    @classmethod
    def of(cls, config: Config) -> "Crnn":
        how = config.train
        return cls(config.extract.mels, channel_names(config.extract), how.cnn_channels, how.rnn_hidden, how.dropout)

    @torch.no_grad()
    def learn(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Mean and spread of the features, in one pass; of their own means and spreads over time in another."""
        self.inputs.learn(batches())
        count, moments = 0, torch.zeros(2, len(self.plain_mean), dtype=torch.float64)
        for batch in batches():
            _, temporal, mask = self.inputs(batch)
            plain = over_time(temporal, mask).double().cpu()
            count, moments = count + len(plain), moments + torch.stack([plain.sum(0), plain.square().sum(0)])
        mean, square = moments / max(1, count)
        self.plain_mean.copy_(mean)
        self.plain_std.copy_((square - mean.square()).clamp_min(0).sqrt().clamp_min(LEAST_SPREAD))

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
        return self.seen(F.relu_(self.flat(values.flatten(1, 2))) * mask, mask)

    def listen(self, temporal: Tensor, mask: Tensor) -> Tensor:
        plain = FAR * ((over_time(temporal, mask) - self.plain_mean) / self.plain_std / FAR).tanh()
        steps = temporal
        for step in (self.near, self.far):
            mask = mask[..., ::2]
            steps = self.dropout(step(steps, mask))
        return torch.cat([self.heard(torch.cat([steps, self.both_directions(steps, mask)], 1), mask), plain], -1)

    def both_directions(self, steps: Tensor, mask: Tensor) -> Tensor:
        """The RNN over (clips, features, steps), 0 in the padding: (clips, 2 features, steps), likewise."""
        ahead, lengths = steps.transpose(1, 2), mask.sum((1, 2)).long()
        turned = reversed_within(ahead, lengths)
        if ahead.device.type == "cpu" and not is_compiling():
            there, back = both_ways(self.forwards, self.backwards, ahead, turned)
        else:
            (there, _), (back, _) = self.forwards(ahead), self.backwards(turned)
        return torch.cat([there, reversed_within(back, lengths)], -1).transpose(1, 2) * mask


class Step(nn.Module):
    """Halves the frames: a convolution over time. It has no norm, which would level out how strong a texture is."""

    def __init__(self, before: int, after: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, width, 2, width // 2)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(clips, features, frames), 0 in the padding -> likewise, with half as many frames, rounded up, as `mask`."""
        return F.relu_(self.conv(values)) * mask


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
    """(clips, features, frames) -> (clips, width): mean and spread, each by the attention of HEADS heads."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(features, HEADS, 1, bias=False)  # a softmax takes no notice of a shift
        self.width = 2 * HEADS * features

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        weights = self.score(values).masked_fill(mask == 0, -1e4).softmax(-1)
        return torch.cat([statistics(values, head[:, None]) for head in weights.unbind(1)], -1)


def over_time(values: Tensor, mask: Tensor) -> Tensor:
    """Mean and spread over the sound frames."""
    return statistics(values, mask / mask.sum(-1, keepdim=True).clamp_min(1.0))


def statistics(values: Tensor, weights: Tensor) -> Tensor:
    """(clips, features, frames), weights (clips, 1, frames) of sum 1 -> (clips, 2 features): mean and spread."""
    mean = (values * weights).sum(-1, keepdim=True)
    power = ((values - mean).square() * weights).sum(-1)
    return torch.cat([mean[..., 0], (power + STEADY).sqrt()], -1)


def reversed_within(steps: Tensor, lengths: Tensor) -> Tensor:
    """(clips, steps, features) turned round within each clip's length; padding stays where it is.

    What packing does for a backward RNN, without leaving the device.
    """
    index = torch.arange(steps.shape[1], device=steps.device)[None]
    turned = torch.where(index < lengths[:, None], lengths[:, None] - 1 - index, index)
    return steps.gather(1, turned[..., None].expand_as(steps))
