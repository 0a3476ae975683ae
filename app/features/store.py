"""Features on disk: few large arrays that can be memory-mapped, written and read a few windows at a time.

A shard has mel.npy (windows, mels, frames) float16 in dB, temporal.npy (windows,
channels, frames) float32 in natural units, and frames.npy (windows,) int32: how many
frames are sound; the rest is padding.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import ExtractConfig
from app.errors import UserError
from app.features.at_once import AtOnce, nobody
from app.features.extract import compute
from app.features.frames import channel_names, frame_and_hop, num_frames
from app.features.mel import mel_filters
from app.runtime.arrays import ArrayWriter, stored
from app.runtime.shards import rows_of
from app.runtime.steps import step

ARRAYS = ("mel", "temporal", "frames")


class FeatureWriter:
    """Computes the windows of a shard into its arrays; whole after `close` (or the end of a with block).

    Holds one batch: extract.batch_clips windows, or `at_once` where those are fewer. How
    many changes no byte on a CPU. A GPU without room for a batch gets half of it.
    """

    def __init__(
        self,
        folder: Path,
        samples: int,
        sample_rate: int,
        cfg: ExtractConfig,
        device: str | torch.device = "cpu",
        at_once: int | None = None,
        say: Callable[[str], None] = nobody,
    ) -> None:
        self.cfg, self.rate, self.samples, self.device = cfg, sample_rate, samples, device
        frame, _ = frame_and_hop(sample_rate, cfg)
        try:
            mel_filters(sample_rate, frame, cfg.mels, cfg.mel_hz)
        except ValueError as error:
            raise UserError(f"extract: {error}", "fewer extract.mels, or a longer extract.frame_s") from None
        self._room = AtOnce(min(cfg.batch_clips, at_once or cfg.batch_clips), say=say)
        self._waiting: list[NDArray[np.float32]] = []
        self._lengths: list[int] = []
        frames = num_frames(samples, sample_rate, cfg)
        self._mel = ArrayWriter(folder / "mel.npy", np.float16, (cfg.mels, frames))
        self._temporal = ArrayWriter(folder / "temporal.npy", np.float32, (len(channel_names(cfg)), frames))
        self._frames = ArrayWriter(folder / "frames.npy", np.int32)

    def add(self, waveform: NDArray[np.float32]) -> None:
        """One window, (time,), at most the window's length; a shorter one is padded with silence."""
        self._waiting.append(np.pad(waveform, (0, self.samples - len(waveform))))
        self._lengths.append(num_frames(len(waveform), self.rate, self.cfg))
        if len(self._waiting) >= self._room.clips:
            self._compute()

    def close(self) -> None:
        """Computes what still waits."""
        try:
            self._compute()
        finally:
            self._close()

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._close()

    def _compute(self) -> None:
        while self._waiting:
            part = self._waiting[: self._room.clips]
            try:
                with step("features"):
                    features = compute(torch.from_numpy(np.stack(part)).to(self.device), self.rate, self.cfg)
            except RuntimeError as error:
                if not self._room.halve(error):
                    raise
                continue
            with step("write"):
                self._mel.append(features.mel.cpu().numpy().astype(np.float16))
                self._temporal.append(features.temporal.cpu().numpy())
                self._frames.append(np.array(self._lengths[: len(part)], np.int32))
            del self._waiting[: len(part)], self._lengths[: len(part)]

    def _close(self) -> None:
        for array in (self._mel, self._temporal, self._frames):
            array.close()


class Batch(NamedTuple):
    mel: torch.Tensor  # (clips, mels, frames) float32, dB
    temporal: torch.Tensor  # (clips, channels, frames) float32
    frames: torch.Tensor  # (clips,) int64: frames of sound
    targets: torch.Tensor  # (clips, 2) float32: (fake, real); NaN where unknown


class Window(NamedTuple):
    """What is kept of a window's manifest row: all windows of a corpus are in memory, in some 250 bytes each."""

    id: str
    recording: str
    start_s: float  # in the recording; 0 for a planned clip
    split: str
    fake: int | None
    real: int | None
    shard: str
    position: int  # in the arrays of the shard


class Features:
    """Windows of a stage, by number; `rows` tells of each. The arrays stay on disk."""

    def __init__(self, stage: Path, splits: tuple[str, ...] | None = None, shard: str = "*") -> None:
        self.rows: list[Window] = []
        self._files: dict[str, tuple[Path, ...]] = {}
        position = 0
        for row in rows_of(stage, shard=shard):
            if row["shard"] not in self._files:
                folder, position = stage / "shards" / row["shard"], 0
                self._files[intern(row["shard"])] = tuple(folder / f"{name}.npy" for name in ARRAYS)
            if splits is None or row["split"] in splits:
                self.rows.append(_window(row, position))
            position += 1

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: NDArray[np.int64]) -> Batch:
        rows = [self.rows[n] for n in numbers]
        mel, temporal, frames = zip(*(self._read(row) for row in rows), strict=True)
        targets = [[np.nan if label is None else label for label in (row.fake, row.real)] for row in rows]
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

    def _read(self, row: Window) -> tuple[Any, ...]:
        return tuple(stored(path)[row.position] for path in self._files[row.shard])


def _window(row: dict[str, Any], position: int) -> Window:
    recording = row["id"] if row["recording"] == row["id"] else row["recording"]  # one text in memory, not two
    start_s, split, shard = row.get("start_s", 0.0), intern(row["split"]), intern(row["shard"])
    return Window(row["id"], recording, start_s, split, row["fake"], row["real"], shard, position)
