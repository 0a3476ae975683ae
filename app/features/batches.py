"""What a model gets of some windows: features, or the waveforms themselves."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from app.features.waves import FULL_SCALE


class Batch(NamedTuple):
    mel: Tensor  # (clips, mels, frames) float32 (float16 as it lies on disk), dB
    temporal: Tensor  # (clips, channels, frames) float32
    frames: Tensor  # (clips,) int64: frames of sound
    targets: Tensor  # (clips, 2) float32: (fake, real); NaN where unknown
    padded: bool = True  # whether some clip has padding; known here, so that no model must ask the GPU

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """`change` of each of its tensors, whose first dimension is the clips."""
        mel, temporal, frames, targets, padded = self
        return Batch(change(mel), change(temporal), change(frames), change(targets), padded)

    def part(self, first: int, clips: int) -> "Batch":
        """Some neighbouring clips of it, as views."""
        return self.each(lambda values: values[first : first + clips])

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Batch":
        """There, numbers as `dtype`; from pinned memory without waiting for it."""
        return self.each(
            lambda values: values.to(device, non_blocking=True).to(
                dtype if values.is_floating_point() else values.dtype
            )
        )


class Waves(NamedTuple):
    wave: Tensor  # (clips, samples) float32, full scale 1 (int16 as it lies on disk)
    frames: Tensor  # (clips,) int64: samples of sound
    targets: Tensor  # (clips, 2) float32: (fake, real); NaN where unknown
    padded: bool = True  # as of a Batch

    def each(self, change: Callable[[Tensor], Tensor]) -> "Waves":
        """As of a Batch."""
        wave, frames, targets, padded = self
        return Waves(change(wave), change(frames), change(targets), padded)

    def part(self, first: int, clips: int) -> "Waves":
        """Some neighbouring clips of it, as views."""
        return self.each(lambda values: values[first : first + clips])

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Waves":
        """There, numbers as `dtype`; from pinned memory without waiting for it."""
        there = self.each(lambda values: values.to(device, non_blocking=True))
        scale = 1.0 if there.wave.is_floating_point() else FULL_SCALE
        return there._replace(wave=there.wave.to(dtype) / scale, targets=there.targets.to(dtype))

    def filled(self) -> Tensor:
        """(clips, samples): a clip shorter than the window is heard again and again, so that none has a silent end."""
        if not self.padded:
            return self.wave
        at = torch.arange(self.wave.shape[-1], device=self.wave.device)
        return self.wave.gather(-1, at % self.frames.clamp_min(1)[:, None])


AnyBatch = Batch | Waves
