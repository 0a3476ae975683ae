"""From stored features to what a network sees: fixed transforms, then the training set's mean and spread."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from app.features.batches import Batch

SPREAD = 1e-4  # no channel is divided by less
MIDDLE_HZ = 150.0  # F0 is heard in octaves from here; without a voice it is heard as this
DEPTH_DB = 80.0  # what lies further below a clip's loudest is rounding, or digital silence


class Inputs(nn.Module):
    """Normalises a batch. Its statistics are learned once by `learn`, and saved with the weights.

    Level is taken out of the mel map and of the RMS, clip by clip: how loud a clip is
    says nothing. Padding is 0 afterwards.
    """

    mel_mean: Tensor
    mel_std: Tensor
    temporal_mean: Tensor
    temporal_std: Tensor

    def __init__(self, mels: int, channels: tuple[str, ...]) -> None:
        super().__init__()
        self.channels = channels
        for name, size in (("mel", mels), ("temporal", len(channels))):
            self.register_buffer(f"{name}_mean", torch.zeros(size, 1))
            self.register_buffer(f"{name}_std", torch.ones(size, 1))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns mel (clips, mels, frames), temporal (clips, channels, frames), mask (clips, 1, frames) of 0 and 1."""
        mel, temporal, mask = self._transformed(batch)
        mel = (mel - self.mel_mean) / self.mel_std
        temporal = (temporal - self.temporal_mean) / self.temporal_std
        return mel.clamp(-8, 8) * mask, temporal.clamp(-8, 8) * mask, mask

    @torch.no_grad()
    def learn(self, batches: Iterable[Batch]) -> None:
        """Mean and spread of every band and channel over the sound frames of `batches`."""
        sums: dict[str, Tensor] = {}
        for batch in batches:
            mel, temporal, mask = self._transformed(batch)
            for name, values in (("mel", mel), ("temporal", temporal)):
                values = values.double() * mask
                moments = torch.stack([values.sum((0, 2)), values.square().sum((0, 2))])
                sums[name] = sums.get(name, torch.zeros_like(moments)) + moments
            sums["count"] = sums.get("count", torch.zeros((), dtype=torch.float64)) + mask.sum().cpu()
        for name in ("mel", "temporal"):
            mean, square = sums[name] / sums["count"]
            std = (square - mean.square()).clamp_min(0).sqrt().clamp_min(SPREAD)
            getattr(self, f"{name}_mean").copy_(mean[:, None])
            getattr(self, f"{name}_std").copy_(std[:, None])

    def _transformed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        frames = batch.mel.shape[-1]
        sound = (torch.arange(frames, device=batch.mel.device) < batch.frames[:, None])[:, None]
        mask = sound.to(batch.mel.dtype)
        mel = _within_depth(batch.mel, sound)
        rows = [_transform(name, batch.temporal[:, k]) for k, name in enumerate(self.channels)]
        if "rms" in self.channels:
            level = self.channels.index("rms")
            loudness = _within_depth(rows[level][:, None], sound)[:, 0]
            rows[level] = loudness - _clip_mean(loudness, mask[:, 0])
        temporal = torch.stack(rows, 1)
        mel = mel - _clip_mean(mel.mean(1), mask[:, 0])[:, :, None]
        return mel, temporal, mask


def on_the_way(channels: Sequence[str], values: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """Measures (..., channels, frames) on the way from `values` (share 0) to `others` (1), on the scales of `Inputs`.

    Half of the way from 100 Hz to 400 Hz are 200 Hz. What is heard changes at an even pace, without a step where a
    voice begins. share: (..., channels, frames), or one that is broadcast to it.
    """
    rows = []
    for k, name in enumerate(channels):
        start, end = (_transform(name, measures[..., k, :]) for measures in (values, others))
        rows.append(_measured(name, torch.lerp(start, end, share.expand_as(values)[..., k, :])))
    return torch.stack(rows, -2)


def _measured(name: str, heard: Tensor) -> Tensor:
    """What `_transform` makes `heard` of; of several the one with a voice."""
    if name == "f0_hz":
        return MIDDLE_HZ * torch.exp2(heard)
    if name.endswith("_hz"):
        return torch.exp2(heard) - 100.0
    if name in ("flatness", "flux"):
        return 10**heard - 1e-5
    if name == "rms":
        return 10 ** (heard / 20)
    return heard


def _transform(name: str, values: Tensor) -> Tensor:
    """Scales as the ear has them: octaves for pitch, logarithms for what spans decades."""
    if name == "f0_hz":
        return torch.where(values > 0, (values.clamp_min(1.0) / MIDDLE_HZ).log2(), torch.zeros_like(values))
    if name.endswith("_hz"):
        return (values.clamp_min(0.0) + 100.0).log2()
    if name in ("flatness", "flux"):
        return (values.clamp_min(0.0) + 1e-5).log10()
    if name == "rms":
        return 20 * values.clamp_min(1e-8).log10()
    return values


def _within_depth(level_db: Tensor, sound: Tensor) -> Tensor:
    """(clips, bands, frames), nothing further than DEPTH_DB below the loudest sound of its clip."""
    loudest = level_db.masked_fill(~sound, -torch.inf).amax((1, 2), keepdim=True)
    return torch.maximum(level_db, loudest - DEPTH_DB)


def _clip_mean(values: Tensor, mask: Tensor) -> Tensor:
    """(clips, frames) -> (clips, 1), over the sound frames."""
    return (values * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp_min(1.0)
