"""Features on disk, read back: few large arrays that are memory-mapped, a few windows at a time.

A shard is as `writer.FeatureWriter` leaves it.
"""

from collections.abc import Iterator
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
