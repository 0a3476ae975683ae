"""Spectral contrast: peaks against valleys, octave by octave."""

import torch
from torch import Tensor

from app.features.spectral_plan import CONTRAST_FLOOR, contrast_bands


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
        rows.append(10 * (peak.clamp_min(CONTRAST_FLOOR) / valley.clamp_min(CONTRAST_FLOOR)).log10())
    return torch.stack(rows, -2)
