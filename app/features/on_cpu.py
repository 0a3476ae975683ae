"""All features of a clip on a CPU, without torch: block by block of frames, so that all of it stays in the cache."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.frame_loops import windowed_frames
from app.config import ExtractConfig
from app.features.frames import channel_names, frame_and_hop
from app.features.pitch_loops import banded_power, candidates, pitch_rows
from app.features.pitch_plan import CANDIDATES, PitchPlan, pitch_plan
from app.features.spectral_loops import LANES, flux_row, spectral_rows
from app.features.spectral_plan import LOUDEST, MEL_FLOOR, spectral_plan
from app.features.texture_on_cpu import texture_of
from app.features.texture_plan import texture_plan
from app.features.wave_loops import wave_rows

Floats = NDArray[np.float32]
BLOCK = 2 * LANES  # frames


def features_of(waveform: Floats, sample_rate: int, cfg: ExtractConfig) -> tuple[Floats, Floats]:
    """(mel (mels, frames), temporal (channels, frames)) of one clip, (time,) float32, as `extract.compute` says."""
    frame, hop = frame_and_hop(sample_rate, cfg)
    plan = spectral_plan(sample_rate, frame, cfg.mels, cfg.mel_hz, cfg.contrast_bands, cfg.roll_off)
    voice = pitch_plan(sample_rate, frame, hop, cfg.f0_hz)
    waveform = np.clip(waveform, -LOUDEST, LOUDEST, dtype=np.float32)
    frames = 1 + len(waveform) // hop
    fine = texture_plan(sample_rate, hop, frames, cfg.texture_bands, cfg.texture_hz)
    mel, rows = np.empty((cfg.mels, frames), np.float32), np.empty((len(channel_names(cfg)), frames), np.float32)
    spectral = np.empty((5 + len(plan.bands), frames), np.float32)
    peaks, total, before = _Peaks(frames, voice), np.empty(frames, np.float32), np.zeros(len(plan.hz), np.float32)
    for here, spectra in _blocks(waveform, frame, hop, frames):
        banded, whole = peaks.room(len(spectra))
        spectral_rows(spectra, before, plan, voice.band, banded, whole, total[here], mel[:, here], spectral[:, here])
        peaks.find(here, banded, whole)
    flux_row(total, round(frame / hop / 2), spectral[4])
    moves = np.empty(frames, np.bool_)
    wave_rows(waveform, frame, hop, rows[7:9], moves)
    peaks.follow(moves, rows[:2])
    rows[2:7], rows[9 : 9 + len(plan.bands)] = spectral[:5], spectral[5:]
    texture_of(waveform, hop, fine, rows[9 + len(plan.bands) :])
    np.log10(np.maximum(mel, np.float32(MEL_FLOOR), out=mel), out=mel)
    mel *= 10
    return mel, rows


def pitch_of(waveform: Floats, sample_rate: int, frame: int, hop: int, f0_hz: tuple[float, float]) -> Floats:
    """F0 and voicing of one clip, (time,) float32, alone: as `pitch.pitch`, (2, frames)."""
    voice, frames = pitch_plan(sample_rate, frame, hop, f0_hz), 1 + len(waveform) // hop
    rows, moves, peaks = np.empty((4, frames), np.float32), np.empty(frames, np.bool_), _Peaks(frames, voice)
    for here, spectra in _blocks(waveform, frame, hop, frames):
        banded, whole = peaks.room(len(spectra))
        banded_power(spectra, voice.band, banded, whole)
        peaks.find(here, banded, whole)
    wave_rows(waveform, frame, hop, rows[2:], moves)
    peaks.follow(moves, rows[:2])
    return rows[:2]


class _Peaks:
    """The candidates for F0 of a clip, block by block."""

    def __init__(self, frames: int, plan: PitchPlan) -> None:
        self._plan = plan
        self._hz = np.empty((frames, CANDIDATES), np.float32)
        self._height = np.empty((frames, CANDIDATES), np.float32)
        self._level = np.empty(frames, np.float32)

    def room(self, frames: int) -> tuple[Floats, Floats]:
        """For the power in the band, (frames, kept), and that of all bins, (frames,)."""
        return np.empty((frames, len(self._plan.band)), np.float32), np.empty(frames, np.float32)

    def find(self, here: slice, banded: Floats, whole: Floats) -> None:
        # the spectrum is real and symmetric: its inverse transform is a cosine transform, size times as large
        correlation = scipy.fft.dct(banded, type=1, overwrite_x=True)
        candidates(correlation, whole, self._plan, self._hz[here], self._height[here], self._level[here])

    def follow(self, moves: Any, rows: Floats) -> None:
        """Fills rows (2, frames) with the best path."""
        pitch_rows(self._hz, self._height, self._level, moves, self._plan, rows)


def _blocks(waveform: Floats, frame: int, hop: int, frames: int) -> Iterator[tuple[slice, NDArray[np.complex64]]]:
    """(which frames, (frames, bins) complex64), block by block: what `mel.power_stft` takes the power of."""
    windowed, shape = np.empty((BLOCK, frame), np.float32), _hann(frame)
    for start in range(0, frames, BLOCK):
        here = windowed[: min(BLOCK, frames - start)]
        windowed_frames(waveform, shape, start * hop - frame // 2, hop, here)
        yield slice(start, start + len(here)), scipy.fft.rfft(here)


@lru_cache(maxsize=4)
def _hann(frame: int) -> Floats:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)
