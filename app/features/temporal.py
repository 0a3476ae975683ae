"""The temporal features but F0: one number a frame, from the shared spectrogram or from the waveform.

Spectral functions take magnitude (..., bins, frames), the root of `mel.power_stft`, and bin_hz, the distance
of two bins (sample_rate / frame). Waveform functions pad by themselves and return the same frames, centred on
k * hop. All follow librosa's definitions (B. McFee et al., SciPy 2015) except flux; silence gives 0 but for
flatness, which is 1 there.
"""

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from app.features.spectral_plan import POWER_FLOOR, TINY


def centroid_hz(magnitude: Tensor, bin_hz: float) -> Tensor:
    """Mean frequency, weighted by magnitude. Returns (..., frames) in Hz, 0 to half the sample rate."""
    return (magnitude * _frequencies(magnitude, bin_hz)).sum(-2) / magnitude.sum(-2).clamp_min(TINY)


def bandwidth_hz(magnitude: Tensor, bin_hz: float, centre_hz: Tensor) -> Tensor:
    """Standard deviation of frequency about centre_hz (..., frames), weighted by magnitude (p = 2), in Hz."""
    # not E[f^2] - E[f]^2: a pure tone would leave float32 noise only
    deviation = (_frequencies(magnitude, bin_hz) - centre_hz.unsqueeze(-2)).square_()
    return (deviation.mul_(magnitude).sum(-2) / magnitude.sum(-2).clamp_min(TINY)).sqrt()


def rolloff_hz(magnitude: Tensor, bin_hz: float, share: float) -> Tensor:
    """The lowest bin that has `share` of the summed magnitude at or below it. Returns (..., frames) in Hz."""
    below = magnitude.cumsum(-2)
    return (below < share * below[..., -1:, :]).sum(-2, dtype=torch.int32).to(magnitude.dtype) * bin_hz


def flatness(power: Tensor) -> Tensor:
    """Geometric over arithmetic mean of power (..., bins, frames): 0 for a tone, 1 for a flat spectrum or silence.

    White noise gives about exp(-0.577) = 0.56, because its bins scatter about the flat spectrum.
    """
    floored = power.clamp_min(POWER_FLOOR)
    return (floored.log().mean(-2).exp() / floored.mean(-2)).clamp_max(1.0)


def flux(magnitude: Tensor, reach: int) -> Tensor:
    """How much of the spectrum is new: the rise since the frame before, summed over bins, over the loudest frame near.

    Returns (..., frames) in 0..1; 0 for what stays or fades and for the first frame; free of the level.
    reach: frames on each side among which the loudest is sought; half a frame length keeps an onset's peak at the
    onset instead of where the window first touches it.
    Source: P. Masri, PhD thesis, Bristol 1996 (rectified flux); the norm is ours.
    """
    rise = (magnitude[..., 1:] - magnitude[..., :-1]).relu_().sum(-2)
    total = magnitude.sum(-2)
    loudest = max_pool1d(total.reshape(-1, 1, total.shape[-1]), 2 * reach + 1, stride=1, padding=reach)
    return (pad(rise, (1, 0)) / loudest.reshape(total.shape).clamp_min(TINY)).clamp_max(1.0)


def zero_crossing_rate(waveform: Tensor, frame: int, hop: int) -> Tensor:
    """Sign changes per sample of each frame. waveform: (..., time), time >= 1. Returns (..., frames) in 0..1.

    Zero, and what is within 1e-10 of it, counts as positive; the edge samples are held beyond the clip.
    """
    negative = waveform < -1e-10
    changes = pad((negative[..., 1:] != negative[..., :-1]).to(torch.int32), (1 + frame // 2, frame - frame // 2))
    count = changes.cumsum(-1, dtype=torch.int32)  # integers: exact wherever it runs
    starts, ends = count[..., : 1 - frame], count[..., frame - 1 :]
    return (ends - starts)[..., ::hop].to(waveform.dtype) / frame


def rms(waveform: Tensor, frame: int, hop: int) -> Tensor:
    """Root mean square of each frame, unwindowed, zeros beyond the clip. Returns (..., frames), 1 at full scale."""
    squares = pad(waveform.square(), (frame // 2, frame - frame // 2))
    return squares.unfold(-1, frame, hop).mean(-1).sqrt()


def _frequencies(magnitude: Tensor, bin_hz: float) -> Tensor:
    bins = magnitude.shape[-2]
    return (torch.arange(bins, device=magnitude.device, dtype=magnitude.dtype) * bin_hz).unsqueeze(-1)
