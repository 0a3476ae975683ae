"""Denoised voices and the noise bank, read from memory-mapped shards."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.audio.io import from_int16, to_int16
from app.corpora.manifest import Row
from app.runtime.arrays import mapped
from app.runtime.shards import rows_of

MANIFESTS = {"audio": "manifest", "noise": "noise"}  # the voices; the segments of the noise bank


class Sounds:
    """Samples by id, float32 (time,), from the shards of a denoise stage. Nothing is held in memory but the index.

    kind: "audio" for the voices, "noise" for the segments of the noise bank.
    """

    def __init__(self, stage: Path, kind: str = "audio") -> None:
        self.shards = stage / "shards"
        self.kind = kind
        self.rows = list(rows_of(stage, MANIFESTS[kind]))
        self._at = {row["id"]: (row["shard"], row["offset"], row["num_samples"]) for row in self.rows}

    def __call__(self, id: str) -> NDArray[np.float32]:
        shard, offset, length = self._at[id]
        return from_int16(mapped(self.shards / shard / f"{self.kind}.npy")[offset : offset + length])


@lru_cache(4)
def sounds_of(stage: Path, kind: str = "audio") -> Sounds:
    """As Sounds, its index read once a process: for workers, which come by for every shard."""
    return Sounds(stage, kind)


class SoundWriter:
    """Collects waveforms as int16 in one array; `save` writes it, and `rows` say where each lies."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._parts: list[NDArray[np.int16]] = []
        self._length = 0

    def add(self, row: Row, samples: NDArray[np.float32]) -> Row:
        row = {**row, "offset": self._length, "num_samples": len(samples)}
        self.rows.append(row)
        self._parts.append(to_int16(samples))
        self._length += len(samples)
        return row

    def save(self, path: Path) -> None:
        np.save(path, np.concatenate([np.zeros(0, np.int16), *self._parts]))
