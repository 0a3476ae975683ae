"""Features on disk: few large arrays that can be memory-mapped, written a few windows at a time.

A shard has mel.npy (windows, mels, frames) float16 in dB, temporal.npy (windows,
channels, frames) float32 in natural units, and frames.npy (windows,) int32: how many
frames are sound; the rest is padding.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.config import ExtractConfig
from app.errors import UserError
from app.features.frames import channel_names, frame_and_hop, num_frames
from app.features.on_cpu import features_of
from app.features.spectral_plan import mel_weights
from app.features.texture_plan import texture_plan
from app.runtime.arrays import ArrayWriter
from app.runtime.steps import step

ARRAYS = ("mel", "temporal", "frames")
MEL_TYPE: type[np.floating] = (
    np.float16
)  # steps of 1/16 dB at most: `bench.half`: they move a score less than another seed does
Floats = NDArray[np.float32]
Compute = Callable[[Floats], tuple[Floats, Floats]]  # (windows, time) -> (windows, mels, frames), (.., channels, ..)


class FeatureWriter:
    """Computes the windows of a shard into its arrays; whole after `close` (or the end of a with block).

    compute: what is done with `at_once` windows; without it they are computed here, one by one. It raises UserError
    where the config asks for what cannot be computed.
    """

    def __init__(
        self,
        folder: Path,
        samples: int,
        sample_rate: int,
        cfg: ExtractConfig,
        compute: Compute | None = None,
        at_once: int = 1,
    ) -> None:
        self.cfg, self.rate, self.samples = cfg, sample_rate, samples
        frame, hop = frame_and_hop(sample_rate, cfg)
        try:
            mel_weights(sample_rate, frame, cfg.mels, cfg.mel_hz)
        except ValueError as error:
            raise UserError(f"extract: {error}", "fewer extract.mels, or a longer extract.frame_s") from None
        try:
            texture_plan(sample_rate, hop, 1, cfg.texture_bands, cfg.texture_hz)
        except ValueError as error:
            raise UserError(f"extract: {error}", "fewer extract.texture_bands, or a wider extract.texture_hz") from None
        self._compute_all, self._at_once = compute or self._one_by_one, at_once
        self._waiting: list[Floats] = []
        self._lengths: list[int] = []
        frames = num_frames(samples, sample_rate, cfg)
        self._mel = ArrayWriter(folder / "mel.npy", MEL_TYPE, (cfg.mels, frames))
        self._temporal = ArrayWriter(folder / "temporal.npy", np.float32, (len(channel_names(cfg)), frames))
        self._frames = ArrayWriter(folder / "frames.npy", np.int32)

    def add(self, waveform: Floats) -> None:
        """One window, (time,), at most the window's length; a shorter one is padded with silence."""
        self._waiting.append(np.pad(waveform, (0, self.samples - len(waveform))))
        self._lengths.append(num_frames(len(waveform), self.rate, self.cfg))
        if len(self._waiting) >= self._at_once:
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
        if not self._waiting:
            return
        with step("features"):
            mel, temporal = self._compute_all(np.stack(self._waiting))
        with step("write"):
            self._mel.append(mel.astype(MEL_TYPE))
            self._temporal.append(temporal)
            self._frames.append(np.array(self._lengths, np.int32))
        self._waiting, self._lengths = [], []

    def _one_by_one(self, waveforms: Floats) -> tuple[Floats, Floats]:
        mel, temporal = zip(*(features_of(wave, self.rate, self.cfg) for wave in waveforms), strict=True)
        return np.stack(mel), np.stack(temporal)

    def _close(self) -> None:
        with ExitStack() as stack:  # all of them, whatever one of them says
            for array in (self._mel, self._temporal, self._frames):
                stack.callback(array.close)
