"""Waveforms of windows on disk, for models that hear them as they are.

A shard has wave.npy (windows, samples) int16 and samples.npy (windows,) int32: how many samples are sound; the rest
is silence.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.audio.io import to_int16
from app.runtime.arrays import ArrayWriter
from app.runtime.steps import step

ARRAYS = ("wave", "samples")
FULL_SCALE = 32768.0


def wave_bytes(samples: int) -> int:
    """What one window of so many samples takes on disk."""
    return 2 * samples + 4


class WaveWriter:
    """Writes the windows of a shard into its arrays; whole after `close` (or the end of a with block)."""

    def __init__(self, folder: Path, samples: int) -> None:
        self.samples = samples
        self._wave = ArrayWriter(folder / "wave.npy", np.int16, (samples,))
        self._lengths = ArrayWriter(folder / "samples.npy", np.int32)

    def add(self, waveform: NDArray[np.float32]) -> None:
        """One window, (time,), at most the window's length; a shorter one is padded with silence."""
        with step("write"):
            self._wave.append(to_int16(np.pad(waveform, (0, self.samples - len(waveform))))[None])
            self._lengths.append(np.array([len(waveform)], np.int32))

    def close(self) -> None:
        with ExitStack() as stack:
            for array in (self._wave, self._lengths):
                stack.callback(array.close)

    def __enter__(self) -> "WaveWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
