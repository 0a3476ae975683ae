"""Features on disk, read back: few large arrays that are memory-mapped, a few windows at a time.

A shard is as `writer.FeatureWriter` leaves it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app.features.writer import ARRAYS
from app.runtime.arrays import stored
from app.runtime.shards import rows_of


class Batch(NamedTuple):
    mel: torch.Tensor  # (clips, mels, frames) float32 (float16 as it lies on disk), dB
    temporal: torch.Tensor  # (clips, channels, frames) float32
    frames: torch.Tensor  # (clips,) int64: frames of sound
    targets: torch.Tensor  # (clips, 2) float32: (fake, real); NaN where unknown
    padded: bool = True  # whether some clip has padding; known here, so that no model must ask the GPU

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
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
        return self.stored_batch(numbers).to(torch.device("cpu"))

    def stored_batch(self, numbers: NDArray[np.int64]) -> Batch:
        """As it lies on disk, the mel map in float16: half of the bytes, where it is yet to travel."""
        if not len(numbers):
            return self.stored_batch(np.arange(1)).part(0, 0)
        rows = [self.rows[n] for n in numbers]
        mel, temporal, frames = zip(*(self._read(row) for row in rows), strict=True)
        targets = [[np.nan if label is None else label for label in (row.fake, row.real)] for row in rows]
        return Batch(
            torch.from_numpy(np.stack(mel)),
            torch.from_numpy(np.stack(temporal)),
            torch.tensor(frames, dtype=torch.int64),
            torch.tensor(targets, dtype=torch.float32),
            bool(min(frames) < mel[0].shape[-1]),
        )

    def clip_bytes(self) -> int:
        """What one clip of a stored_batch takes."""
        return sum(values[:1].nbytes for values in self.stored_batch(np.arange(1))[:4])

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
