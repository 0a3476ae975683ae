"""The texture of one clip on a CPU, without torch, block by block of frames: as `texture` defines it."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.frame_loops import windowed_frames
from app.features.texture_loops import filtered, powers, predictors, pulse_rows, residual_rows, scattered_frames
from app.features.texture_plan import POWER_FLOOR, TINY, WHITE, TexturePlan

Floats = NDArray[np.float32]
SHORT_BLOCK = 256  # frames: what is made of them stays in the cache
LONG_BLOCK = 64


def texture_of(waveform: Floats, hop: int, plan: TexturePlan, rows: Floats) -> None:
    """waveform: (time,). Fills rows (2 bands + 4, frames) as `texture.texture` would."""
    bands = plan.filters.shape[1]
    pulse_rows(_levels(waveform, plan), plan.per_hop, plan.trend, plan.reach, rows[: 2 * bands])
    frames, doubled = rows.shape[1], np.full(plan.predicted // 2 + 1, 2 / plan.predicted, np.float32)
    doubled[0] = doubled[-1] = 1 / plan.predicted
    size, bins = len(plan.long_window), len(doubled)
    cosines, sines = np.split(plan.waves, 2, axis=1)
    turned_cosines, turned_sines = np.ascontiguousarray(cosines.T), np.ascontiguousarray(sines.T)
    power, kept = np.empty((LONG_BLOCK, bins), np.float32), np.empty((LONG_BLOCK, bins), np.complex64)
    framed, left = np.zeros((LONG_BLOCK, plan.spectrum), np.float32), np.empty(LONG_BLOCK, np.float64)
    for start in range(0, frames, LONG_BLOCK):
        stop = min(start + LONG_BLOCK, frames)
        here = framed[: stop - start]
        windowed_frames(waveform, plan.long_window, start * hop - size // 2, hop, here[:, :size])
        spectra = scipy.fft.rfft(here)[:, :bins]
        powers(spectra, doubled, power[: stop - start])
        correlation = power[: stop - start] @ cosines
        correlation[:, 0] = correlation[:, 0] * np.float32(1 + WHITE) + np.float32(TINY)
        weights = np.empty_like(correlation)
        predictors(correlation, weights, left)
        filtered(spectra, weights @ turned_cosines, weights @ turned_sines, kept[: stop - start])
        rest = scipy.fft.irfft(kept[: stop - start], plan.predicted)
        residual_rows(rest[:, slice(*plan.heard)], rows[2 * bands :, start:stop])
        rows[-1, start:stop] = np.log(correlation[:, 0] / left[: stop - start])


def _levels(waveform: Floats, plan: TexturePlan) -> Floats:
    """(short frames, bands): logarithms of power."""
    count, size = len(plan.starts), len(plan.short_window)
    levels, framed = np.empty((count, plan.filters.shape[1]), np.float32), np.empty((SHORT_BLOCK, size), np.float32)
    for start in range(0, count, SHORT_BLOCK):
        stop = min(start + SHORT_BLOCK, count)
        here = framed[: stop - start]
        scattered_frames(waveform, plan.short_window, plan.starts[start:stop], here)
        spectra = scipy.fft.rfft(here)
        np.matmul(spectra.real**2 + spectra.imag**2, plan.filters, out=levels[start:stop])
    levels += np.float32(POWER_FLOOR)
    return np.log(levels, out=levels)
