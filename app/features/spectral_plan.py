"""What the spectral features are made with, the same for all frames: for tensors (a GPU) and loops (a CPU) alike."""

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MEL_FLOOR = 1e-10  # least power of a mel band: -100 dB
TINY = 1e-30  # keeps 0 / 0 at 0; far below any magnitude sound can have
POWER_FLOOR = 1e-10  # of flatness, as in librosa
LOWEST_HZ = 200.0  # of the octaves of the contrast
QUANTILE = 0.02  # share of a band's bins that make its peak, and its valley
CONTRAST_FLOOR = 1e-10
LOUDEST = 1e6  # 120 dB above full scale: beyond it float32 power would overflow


class SpectralPlan(NamedTuple):
    """Numbers that are the same for all frames."""

    hz: NDArray[np.float32]  # of each bin
    mel_edges: NDArray[
        np.int64
    ]  # (mels + 2,): bins from the j-th to the next one fall from mel j - 1 and rise to mel j
    falling: NDArray[np.float32]  # weight of a bin in the mel before
    rising: NDArray[np.float32]  # and in the next
    bands: NDArray[np.int64]  # of the contrast (bands, 3): first bin, one past the last, bins that make the peak
    roll_off: np.float32


@lru_cache(maxsize=16)
def spectral_plan(
    sample_rate: int, frame: int, mels: int, mel_hz: tuple[float, float], octaves: int, roll_off: float
) -> SpectralPlan:
    """Raises ValueError as `mel_weights` and `contrast_bands` do."""
    filters = mel_weights(sample_rate, frame, mels, mel_hz)
    bins = np.arange(filters.shape[1])
    next_mel = _next_mel(filters)
    padded = np.pad(filters, ((1, 1), (0, 0)))
    return SpectralPlan(
        hz=(bins * np.float32(sample_rate / frame)).astype(np.float32),
        mel_edges=np.searchsorted(next_mel, np.arange(mels + 2)),
        falling=padded[next_mel, bins],
        rising=padded[next_mel + 1, bins],
        bands=np.array(contrast_bands(filters.shape[1], sample_rate / frame, octaves)),
        roll_off=np.float32(roll_off),
    )


def _next_mel(filters: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each bin the mel on whose rising side it lies, (bins,), from 0 to one past the last."""
    found, tops = np.zeros(filters.shape[1], np.int64), filters.argmax(1)
    for k, column in enumerate(filters.T):
        under = np.flatnonzero(column)
        if len(under) == 2:  # it falls from one and rises to the other
            found[k] = under[1]
        elif len(under) == 1:
            found[k] = under[0] + (k > tops[under[0]])
        else:
            found[k] = found[k - 1] if k else 0
    return np.maximum.accumulate(found)


def contrast_bands(bins: int, bin_hz: float, octaves: int) -> list[tuple[int, int, int]]:
    """First bin, one past the last, and how many make the peak, of each band; neighbours share a bin as in librosa."""
    edges = [0.0] + [LOWEST_HZ * 2**k for k in range(octaves + 1)]
    if edges[-2] >= (bins - 1) * bin_hz:
        raise ValueError(f"{octaves} octaves from {LOWEST_HZ:g} Hz need bins beyond {edges[-2]:g} Hz")
    bands = []
    for k, (low, high) in enumerate(pairwise(edges)):
        first = max(math.ceil(low / bin_hz) - 1, 0)
        last = bins if k == octaves else min(math.floor(high / bin_hz) + 1, bins)
        count = max(round(QUANTILE * (last - first)), 1)
        bands.append((first, last if k == octaves else max(last - 1, first + 1), count))
    return bands


@lru_cache(maxsize=16)
def mel_weights(sample_rate: int, frame: int, mels: int, mel_hz: tuple[float, float]) -> NDArray[np.float32]:
    """Triangles on Slaney's mel scale, each of equal area, as librosa.filters.mel. Returns (mels, bins), float32.

    mel_hz: lowest and highest edge, in Hz. Raises ValueError if a triangle lies between two bins, where it
    would see nothing: ask for fewer mels or a longer frame.
    Source: M. Slaney, Auditory Toolbox, Interval Research 1998-010.
    """
    edges = _edges_hz(mels, mel_hz)[:, None]
    bins = np.fft.rfftfreq(frame, 1 / sample_rate)[None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    if not weights.any(axis=1).all():
        raise ValueError(f"{mels} mels from {mel_hz[0]:g} to {mel_hz[1]:g} Hz are too narrow for a frame of {frame}")
    return weights.astype(np.float32)


def mel_middles_hz(mels: int, mel_hz: tuple[float, float]) -> NDArray[np.float64]:
    """The frequency at the tip of each triangle, (mels,)."""
    return _edges_hz(mels, mel_hz)[1:-1]


def _edges_hz(mels: int, mel_hz: tuple[float, float]) -> NDArray[np.float64]:
    low, high = _mel(np.asarray(mel_hz, dtype=np.float64))
    return _hertz(np.linspace(low, high, mels + 2))


# Slaney's scale: 15 mels up to 1 kHz, linear; above, 27 mels for each factor of 6.4
_LINEAR_HZ, _KNEE_HZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _KNEE_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, above)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, knee) - knee)))
