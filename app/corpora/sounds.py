"""Denoised voices and the noise bank, end to end in the arrays of their shards."""

from functools import cached_property, lru_cache
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.audio.io import from_int16, to_int16
from app.audio.mix import Fetch
from app.corpora.manifest import Row
from app.runtime.arrays import ArrayWriter, stored
from app.runtime.rows import Rows
from app.runtime.shards import rows_of

# the voices; the segments of the noise bank; recorded noise and room responses from other folders
MANIFESTS = {"audio": "manifest", "noise": "noise", "background": "manifest"}


class Sounds:
    """Samples by id, float32 (time,), from the shards of a denoise stage. In memory is only where each lies.

    kind: "audio" for the voices, "noise" for the segments of the noise bank, "background" for what came from
    mix.noise_dirs and mix.rir_dirs.
    """

    def __init__(self, stage: Path, kind: str = "audio") -> None:
        self.stage, self.kind, self._manifest = stage, kind, MANIFESTS[kind]

    @cached_property
    def _at(self) -> dict[str, tuple[str, int, int]]:
        """id -> (shard, offset, length), read when first asked for: who only plans never asks."""
        return {
            row["id"]: (intern(row["shard"]), row["offset"], row["num_samples"])
            for row in rows_of(self.stage, self._manifest)
        }

    @cached_property
    def rows(self) -> Rows:
        """Of every sound all that is known, read when first asked for: who only renders never asks."""
        return Rows(rows_of(self.stage, self._manifest))

    def __contains__(self, id: str) -> bool:
        return id in self._at

    def __call__(self, id: str) -> NDArray[np.float32]:
        shard, offset, length = self._at[id]
        array = stored(self.stage / "shards" / shard / f"{self.kind}.npy")
        return from_int16(array[offset : offset + length])


def noise_of(denoised: Path, backgrounds: Path | None) -> tuple[Fetch, Fetch | None]:
    """(noise by id, of the bank or recorded; room responses by id, or None where there are none)."""
    bank = sounds_of(denoised, "noise")
    if backgrounds is None:
        return bank, None
    recorded = sounds_of(backgrounds, "background")
    return lambda id: recorded(id) if id in recorded else bank(id), recorded


@lru_cache(4)
def sounds_of(stage: Path, kind: str = "audio") -> Sounds:
    """As Sounds, its index read once a process: for workers, which come by for every shard."""
    return Sounds(stage, kind)


class SoundWriter:
    """Writes waveforms as int16 into one array, as they come; `rows` say where each lies.

    The array is whole after `close` (or the end of a with block).
    """

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self._array = ArrayWriter(path, np.int16)

    def add(self, row: Row, samples: NDArray[np.float32]) -> Row:
        row = {**row, "offset": self._array.rows, "num_samples": len(samples)}
        self._array.append(to_int16(samples))
        self.rows.append(row)
        return row

    def close(self) -> None:
        self._array.close()

    def __enter__(self) -> "SoundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
