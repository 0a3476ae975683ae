"""Windows on disk, read back: few large arrays that are memory-mapped, a few windows at a time.

A shard is as `writer.FeatureWriter` or `waves.WaveWriter` leaves it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from app.features import waves, writer
from app.features.batches import Batch, Waves
from app.runtime.arrays import stored
from app.runtime.shards import rows_of

Kind = TypeVar("Kind", Batch, Waves)


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


class Stored(ABC, Generic[Kind]):
    """Windows of a stage, by number; `rows` tells of each. The arrays stay on disk."""

    ARRAYS: ClassVar[tuple[str, ...]]  # by name; the last one says how much of a window is sound

    def __init__(self, stage: Path, splits: tuple[str, ...] | None = None, shard: str = "*") -> None:
        self.rows: list[Window] = []
        self._files: dict[str, tuple[Path, ...]] = {}
        position = 0
        for row in rows_of(stage, shard=shard):
            if row["shard"] not in self._files:
                folder, position = stage / "shards" / row["shard"], 0
                self._files[intern(row["shard"])] = tuple(folder / f"{name}.npy" for name in self.ARRAYS)
            if splits is None or row["split"] in splits:
                self.rows.append(_window(row, position))
            position += 1

    def __len__(self) -> int:
        return len(self.rows)

    @abstractmethod
    def _batch(self, columns: list[torch.Tensor], frames: torch.Tensor, targets: torch.Tensor) -> Kind:
        """columns: those of ARRAYS but the last, which is `frames`."""

    def batch(self, numbers: NDArray[np.int64]) -> Kind:
        return self.stored_batch(numbers).to(torch.device("cpu"))

    def stored_batch(self, numbers: NDArray[np.int64]) -> Kind:
        """As it lies on disk, in half of the bytes, where it is yet to travel."""
        if not len(numbers):
            return self.stored_batch(np.arange(1)).part(0, 0)
        rows = [self.rows[n] for n in numbers]
        *columns, frames = zip(*(self._read(row) for row in rows), strict=True)
        targets = [[np.nan if label is None else label for label in (row.fake, row.real)] for row in rows]
        return self._batch(
            [torch.from_numpy(np.stack(values)) for values in columns],
            torch.tensor(frames, dtype=torch.int64),
            torch.tensor(targets, dtype=torch.float32),
        )

    def clip_bytes(self) -> int:
        """What one clip of a stored_batch takes."""
        return sum(values.numel() * values.element_size() for values in self.stored_batch(np.arange(1))[:-1])

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], Kind]]:
        """In order, `size` at a time."""
        for start in range(0, len(self), size):
            numbers = np.arange(start, min(start + size, len(self)))
            yield numbers, self.batch(numbers)

    def _read(self, row: Window) -> tuple[Any, ...]:
        return tuple(stored(path)[row.position] for path in self._files[row.shard])


class Features(Stored[Batch]):
    """Of the stage `extract`."""

    ARRAYS = writer.ARRAYS

    def _batch(self, columns: list[torch.Tensor], frames: torch.Tensor, targets: torch.Tensor) -> Batch:
        mel, temporal = columns
        return Batch(mel, temporal, frames, targets, bool(frames.min() < mel.shape[-1]))


class Waveforms(Stored[Waves]):
    """Of the stage `waves`."""

    ARRAYS = waves.ARRAYS

    def _batch(self, columns: list[torch.Tensor], frames: torch.Tensor, targets: torch.Tensor) -> Waves:
        (wave,) = columns
        return Waves(wave, frames, targets, bool(frames.min() < wave.shape[-1]))


STORES: dict[str, type[Features] | type[Waveforms]] = {"extract": Features, "waves": Waveforms}  # by the stage's name


def _window(row: dict[str, Any], position: int) -> Window:
    recording = row["id"] if row["recording"] == row["id"] else row["recording"]  # one text in memory, not two
    start_s, split, shard = row.get("start_s", 0.0), intern(row["split"]), intern(row["shard"])
    return Window(row["id"], recording, start_s, split, row["fake"], row["real"], shard, position)
