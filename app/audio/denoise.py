"""Spectral gating: time-frequency cells that do not rise above the noise are turned down."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.frame_loops import overlap_add, windowed_frames
from app.audio.gate_loops import cells_above, smoothed_in_time, turn_down
from app.audio.level import Waveform

WINDOW_S = 0.032
LEAST_WINDOWS = 8  # a noise profile needs some frames to have a spread
QUIETEST = 0.1  # share of the clip that tells what its noise is
SMOOTH_HZ, SMOOTH_MS = 500.0, 50.0  # of the mask, to each side
ABOVE = 1.5  # standard deviations over the mean level of the noise, in dB, from which a cell is sound
RANGE_DB = 80.0  # nothing counts as further than that below the loudest of its frequency
MEMORY_S = 2.0  # of a profile that follows the clip
TIMES, SLOPE = 2.0, 10.0  # how far above that profile a cell is sound, and how sharply
DECIBELS = 10 / np.log(10)  # of power, in a neper of it
CHUNK = 600_000  # samples at a time: memory does not grow with the clip
MOVING_PAD = 30_000  # samples around a chunk, for a profile that follows the clip


def gate(samples: Waveform, sample_rate: int, *, stationary: bool, reduction: float) -> Waveform:
    """The samples, (..., time), with less noise: same shape, float32, finite, at the same rate.

    stationary: one noise profile for the whole clip, from its quietest tenth;
    else the profile follows the clip. reduction: how much of a gated cell is
    taken away, 0 (nothing) to 1 (all). A clip under 8 windows of 32 ms or
    without any sound comes back as it is. Each channel has its own profile.
    The method and its settings are those of T. Sainburg's noisereduce 3.0.3
    (after Audacity's noise reduction), from which it differs by rounding.
    """
    window = 2 ** round(np.log2(WINDOW_S * sample_rate))
    out = samples.astype(np.float32)
    for index in np.ndindex(samples.shape[:-1]):
        profile = _quietest(samples[index], window)
        if samples.shape[-1] >= LEAST_WINDOWS * window and len(profile):
            clip = out[index].copy()  # a chunk sees its neighbours as they came
            threshold = _threshold(profile, window) if stationary else None
            pad = 4 * window if stationary else MOVING_PAD
            for start in range(0, len(clip), CHUNK):
                stop = min(start + CHUNK, len(clip))
                low = max(start - pad, 0)
                span = (start - pad - low, stop + pad - low)
                gated = _gated(clip[low : stop + pad], span, window, sample_rate, threshold, reduction)
                out[index][start:stop] = gated[start - low : stop - low]
    return out


def _gated(
    clip: Waveform,
    span: tuple[int, int],
    window: int,
    sample_rate: int,
    threshold: NDArray[np.float32] | None,
    reduction: float,
) -> Waveform:
    """A chunk, (time,), of whose samples the spectrogram covers those in span; beyond the chunk they are zeros."""
    hop, shape = window // 4, _hann(window)
    first = span[0] - window // 2
    spectra = _spectra(clip, shape, first, hop, (span[1] - span[0]) // hop + 1)
    time, frequency = (
        _triangle(int(SMOOTH_MS * sample_rate / hop / 1000)),
        _triangle(int(SMOOTH_HZ * window / 2 / sample_rate)),
    )
    inside = np.convolve(np.ones(spectra.shape[1]), frequency, "same")  # of the smoothing, at the edges of the band
    cells: NDArray[np.uint8] | NDArray[np.float32]
    if threshold is not None:
        cells = np.empty(spectra.shape, np.uint8)
        cells_above(spectra, threshold, RANGE_DB, cells)
        floor = (1 - reduction) * inside
    else:
        cells = _above_the_moving(np.abs(spectra), MEMORY_S * sample_rate / hop)
        floor = np.full(spectra.shape[1], 1 - reduction)
    turn_down(spectra, cells, time, frequency, reduction, floor.astype(np.float32))
    frames = scipy.fft.irfft(spectra, window, overwrite_x=True)
    gated = np.zeros(len(clip), np.float32)
    overlap_add(frames, shape / np.float32(1.5), first, hop, gated)  # squared Hann windows a quarter apart sum to 1.5
    return gated


def _spectra(samples: Waveform, shape: NDArray[np.float32], first: int, hop: int, count: int) -> NDArray[np.complex64]:
    frames = np.empty((count, len(shape)), np.float32)
    windowed_frames(samples, shape, first, hop, frames)
    found: NDArray[np.complex64] = scipy.fft.rfft(frames, overwrite_x=True)
    return found


def _threshold(noise: Waveform, window: int) -> NDArray[np.float32]:
    """Power of each bin above which a cell is sound, (bins,)."""
    hop = window // 4
    spectra = _spectra(noise, _hann(window), -(window // 2), hop, len(noise) // hop + 1)
    real, imag = spectra.real.astype(np.float64), spectra.imag.astype(np.float64)
    level = np.log(real * real + imag * imag + (np.finfo(np.float64).eps * window / 2) ** 2)  # nepers of power
    level = np.maximum(level, level.max(0) - RANGE_DB / DECIBELS)
    power: NDArray[np.float32] = np.exp(level.mean(0) + ABOVE * level.std(0)).astype(np.float32)
    return power


def _above_the_moving(magnitude: NDArray[np.float32], frames: float) -> NDArray[np.float32]:
    """How much each cell, (frames, bins), is sound, 0 to 1: by how many times it lies above its past and future."""
    mean = magnitude.copy()
    smoothed_in_time(mean, (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2))
    ratio = (magnitude - mean) / np.maximum(mean, np.float32(1e-30))
    above: NDArray[np.float32] = (1 / (1 + np.exp(-(ratio - TIMES).clip(-5, 5) * SLOPE))).astype(np.float32)
    return above


@lru_cache(maxsize=4)
def _hann(window: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


def _triangle(reach: int) -> NDArray[np.float32]:
    """Weights that fall to both sides and sum to 1."""
    rise = np.arange(1, max(reach, 1) + 2)
    weights = np.concatenate([rise, rise[-2::-1]])
    return (weights / weights.sum()).astype(np.float32)


def _quietest(samples: Waveform, window: int) -> Waveform:
    """The tenth of the samples, (time,), with the least power, in windows end to end; digital silence is no noise.

    The whole clip would be too much: a voice that speaks throughout would be
    part of it.
    """
    windows = samples[: len(samples) // window * window].reshape(-1, window)
    power = np.square(windows, dtype=np.float64).mean(-1)
    sounding = np.flatnonzero(power > 0)
    count = max(round(QUIETEST * len(windows)), LEAST_WINDOWS)
    chosen = sounding[np.argsort(power[sounding], kind="stable")[:count]]
    return windows[np.sort(chosen)].reshape(-1)
