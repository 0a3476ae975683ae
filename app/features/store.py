"""Features on disk: few large arrays that can be memory-mapped, and readers that hold none of them in memory.

A shard has mel.npy (windows, mels, frames) float16 in dB, temporal.npy (windows,
channels, frames) float32 in natural units, and frames.npy (windows,) int32: how many
frames are sound; the rest is padding.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import ExtractConfig
from app.errors import UserError
from app.features.extract import channel_names, compute, frame_and_hop, num_frames
from app.features.mel import mel_filters
from app.runtime.arrays import mapped
from app.runtime.shards import rows_of


class FeatureWriter:
    """Computes the windows of a shard, `batch_clips` at a time; `save` writes them. Holds one shard in memory."""

    def __init__(self, samples: int, sample_rate: int, cfg: ExtractConfig, device: str | torch.device = "cpu") -> None:
        self.cfg, self.rate, self.samples, self.device = cfg, sample_rate, samples, device
        frame, _ = frame_and_hop(sample_rate, cfg)
        try:
            mel_filters(sample_rate, frame, cfg.mels, cfg.mel_hz)
        except ValueError as error:
            raise UserError(f"extract: {error}", "fewer extract.mels, or a longer extract.frame_s") from None
        self._waiting: list[NDArray[np.float32]] = []
        frames = num_frames(samples, sample_rate, cfg)
        self._mel = [np.zeros((0, cfg.mels, frames), np.float16)]
        self._temporal = [np.zeros((0, len(channel_names(cfg)), frames), np.float32)]
        self._frames: list[int] = []

    def add(self, waveform: NDArray[np.float32]) -> None:
        """One window, (time,), at most the window's length; a shorter one is padded with silence."""
        self._frames.append(num_frames(len(waveform), self.rate, self.cfg))
        self._waiting.append(np.pad(waveform, (0, self.samples - len(waveform))))
        if len(self._waiting) == self.cfg.batch_clips:
            self._compute()

    def save(self, folder: Path) -> None:
        self._compute()
        np.save(folder / "mel.npy", np.concatenate(self._mel))
        np.save(folder / "temporal.npy", np.concatenate(self._temporal))
        np.save(folder / "frames.npy", np.array(self._frames, np.int32))

    def _compute(self) -> None:
        if self._waiting:
            features = compute(torch.from_numpy(np.stack(self._waiting)).to(self.device), self.rate, self.cfg)
            self._mel.append(features.mel.cpu().numpy().astype(np.float16))
            self._temporal.append(features.temporal.cpu().numpy())
            self._waiting = []


class Batch(NamedTuple):
    mel: torch.Tensor  # (clips, mels, frames) float32, dB
    temporal: torch.Tensor  # (clips, channels, frames) float32
    frames: torch.Tensor  # (clips,) int64: frames of sound
    targets: torch.Tensor  # (clips, 2) float32: (fake, real); NaN where unknown


class Features:
    """Windows of a stage, by number; the rows of the manifest stand beside them."""

    def __init__(self, stage: Path, splits: tuple[str, ...] | None = None, shard: str = "*") -> None:
        self.rows: list[dict[str, Any]] = []
        self._place: list[tuple[Path, int]] = []
        current, position = "", 0
        for row in rows_of(stage, shard=shard):
            if row["shard"] != current:
                current, position = row["shard"], 0
            if splits is None or row["split"] in splits:
                self.rows.append(row)
                self._place.append((stage / "shards" / current, position))
            position += 1

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: NDArray[np.int64]) -> Batch:
        mel, temporal, frames = zip(*(self._window(int(n)) for n in numbers), strict=True)
        targets = [[np.nan if self.rows[n][k] is None else self.rows[n][k] for k in ("fake", "real")] for n in numbers]
        return Batch(
            torch.from_numpy(np.stack(mel).astype(np.float32)),
            torch.from_numpy(np.stack(temporal)),
            torch.tensor(frames, dtype=torch.int64),
            torch.tensor(targets, dtype=torch.float32),
        )

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """In order, `size` at a time."""
        for start in range(0, len(self), size):
            numbers = np.arange(start, min(start + size, len(self)))
            yield numbers, self.batch(numbers)

    def _window(self, number: int) -> tuple[Any, ...]:
        shard, position = self._place[number]
        return tuple(mapped(shard / f"{name}.npy")[position] for name in ("mel", "temporal", "frames"))
