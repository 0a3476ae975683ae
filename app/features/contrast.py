"""Spectral contrast: peaks against valleys, octave by octave."""

import math
from itertools import pairwise

import torch
from torch import Tensor

LOWEST_HZ = 200.0
QUANTILE = 0.02  # share of a band's bins that make its peak, and its valley
FLOOR = 1e-10


def contrast(magnitude: Tensor, bin_hz: float, octaves: int) -> Tensor:
    """How far the loudest bins of each band stand above its faintest: high for a clean voice, low for noise.

    magnitude: (..., bins, frames); bin_hz: distance of two bins. Returns (..., octaves + 1, frames), >= 0: the
    band below 200 Hz, the octaves above it, the last one reaching up to half the sample rate.
    In librosa's units, 10 log10 of a magnitude ratio: half of what dB of level would be. Silence gives 0.
    Equals librosa.feature.spectral_contrast but for its top_db, which makes a frame depend on the loudest of its clip.
    Raises ValueError if the bins end below the last octave.
    Source: D.-N. Jiang et al., Music type classification by spectral contrast feature, ICME 2002.
    """
    spectra = magnitude.transpose(-1, -2)  # bins last, as they lie in memory
    rows = []
    for first, last, count in contrast_bands(magnitude.shape[-2], bin_hz, octaves):
        band = spectra[..., first:last]
        if count == 1:
            peak, valley = band.amax(-1), band.amin(-1)
        else:
            peak = band.topk(count, sorted=False).values.mean(-1)
            valley = band.topk(count, largest=False, sorted=False).values.mean(-1)
        rows.append(10 * (peak.clamp_min(FLOOR) / valley.clamp_min(FLOOR)).log10())
    return torch.stack(rows, -2)


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
