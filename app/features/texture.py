"""The texture of a voice, frame by frame: what a vocoder or a synthesiser leaves in the fine structure of its sound.

Who speaks, and in which room, shows in the spectrum, as `mel` has it; what made the sound shows in finer things:

- pulses: in frames of 8 ms, one each ms, the logarithmic level of some bands, less its mean over 20 ms. Over 40 ms
  about each frame, for each band: how far it moves (logarithm of the standard deviation), and its correlation with
  the mean of all bands. The pulses of a glottis are sharp, and come at once in all bands.
- residual: what linear prediction (16 weights at 16 kHz) of a frame of 25 ms leaves, which is what the vocal folds and
  the breath give: its skewness, the logarithm of 1 more than its kurtosis, the logarithm of its highest peak against
  its standard deviation, and how much was predicted (logarithm of the power before against after).

The level of a recording tells nothing here, and a smooth filter, such as a microphone's, little; a recording that is
turned round turns the skewness. Bands are of equal width between two frequencies. Faster sound is predicted as at 16
kHz.

Sources: linear prediction: J. Makhoul, Proc. IEEE 63 (1975); kurtosis of its residual, for reverberation: B. Gillespie
et al., ICASSP 2001; its skewness, for polarity: T. Drugman, IEEE Signal Processing Letters 20 (2013). The measures of
pulses are ours.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from app.features.texture_plan import LEAST_VARIANCE, POWER_FLOOR, TINY, WHITE, TexturePlan


def texture(waveforms: Tensor, hop: int, frames: int, plan: TexturePlan) -> Tensor:
    """(clips, time) -> (clips, 2 bands + 4, frames): spread and correlation of the pulses, then `residual`.

    Each frame is centred on k * hop; silence lies beyond the clip.
    """
    return torch.cat([pulses(waveforms, frames, plan), residual(_spectra(waveforms, hop, frames, plan), plan)], -2)


def pulses(waveforms: Tensor, frames: int, plan: TexturePlan) -> Tensor:
    """(clips, time) -> (clips, 2 bands, frames): the spread of each band, then its correlation."""
    window = torch.from_numpy(plan.short_window).to(waveforms.device)
    starts = torch.from_numpy(plan.starts).to(waveforms.device)
    before, length = len(window), waveforms.shape[-1]
    after = max(0, int(plan.starts[-1]) + 2 * len(window) - length)
    padded = pad(waveforms, (before, after))
    at = (starts + before)[:, None] + torch.arange(len(window), device=waveforms.device)
    spectra = torch.fft.rfft(padded[..., at] * window)
    power = spectra.real.square() + spectra.imag.square()
    level = (power @ torch.from_numpy(plan.filters).to(waveforms.device) + POWER_FLOOR).log().transpose(-1, -2)
    level = level - _held(level, plan.trend, plan.trend).unfold(-1, 2 * plan.trend + 1, 1).mean(-1)
    heard = _held(level, plan.reach, plan.reach - 1).unfold(-1, 2 * plan.reach, plan.per_hop)[..., :frames, :]
    away = heard - heard.mean(-1, keepdim=True)
    variance = away.square().mean(-1) + LEAST_VARIANCE
    middle = away.mean(-3, keepdim=True)
    together = middle.square().mean(-1) + LEAST_VARIANCE
    rows = [
        0.5 * variance.log(),
        (away * middle).mean(-1) / (variance * together).sqrt(),
    ]
    return torch.cat(rows, -2)


def residual(spectra: Tensor, plan: TexturePlan) -> Tensor:
    """spectra: (clips, frames, bins) complex -> (clips, 4, frames), as frames.RESIDUAL names them."""
    power = spectra.real.square() + spectra.imag.square()
    waves = torch.from_numpy(plan.waves).to(spectra.device)
    cosines, sines = waves.chunk(2, -1)
    correlation = ends_once(power) @ cosines / plan.predicted
    correlation[..., 0] = correlation[..., 0] * (1 + WHITE) + TINY
    weights, left = _predictors(correlation.double())
    filters = torch.complex(weights @ cosines.T, -(weights @ sines.T))
    rest = torch.fft.irfft(spectra * filters, plan.predicted)[..., slice(*plan.heard)]
    highest = rest.abs().amax(-1).clamp_min(TINY)
    away = (rest - rest.mean(-1, keepdim=True)) / highest[..., None]
    variance = away.square().mean(-1) + TINY
    rows = [
        away.pow(3).mean(-1) / variance.pow(1.5),
        (away.pow(4).mean(-1) / variance.square()).log1p(),
        (rest.abs().amax(-1) / highest).clamp_min(TINY).log() - 0.5 * variance.log(),
        (correlation[..., 0].double() / left).log().to(rest.dtype),
    ]
    return torch.stack(rows, -2)


def ends_once(power: Tensor) -> Tensor:
    """Every bin of a real spectrum stands for two but the first and the last."""
    doubled = 2 * power
    doubled[..., 0], doubled[..., -1] = power[..., 0], power[..., -1]
    return doubled


def _spectra(waveforms: Tensor, hop: int, frames: int, plan: TexturePlan) -> Tensor:
    """(clips, time) -> (clips, frames, bins): only the bins up to half the rate of the prediction."""
    window = torch.from_numpy(plan.long_window).to(waveforms.device)
    length, size = waveforms.shape[-1], len(window)
    after = max(0, (frames - 1) * hop + size - length)
    framed = pad(waveforms, (size // 2, after)).unfold(-1, size, hop)[..., :frames, :]
    return torch.fft.rfft(framed * window, plan.spectrum)[..., : plan.predicted // 2 + 1]


def _predictors(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """Levinson and Durbin: (..., order + 1) -> the weights, float32, the first 1, and (...): the power that is left."""
    order = correlation.shape[-1] - 1
    weights = torch.zeros_like(correlation)
    weights[..., 0] = 1
    left = correlation[..., 0].clone()
    for i in range(1, order + 1):
        total = (weights[..., :i] * correlation[..., 1 : i + 1].flip(-1)).sum(-1)
        reflected = -total / left
        before = weights.clone()
        weights[..., 1:i] += reflected[..., None] * before[..., 1:i].flip(-1)
        weights[..., i] = reflected
        left = left * (1 - reflected.square()).clamp_min(1e-6)
    return weights.float(), left


def _held(rows: Tensor, before: int, after: int) -> Tensor:
    """(clips, bands, time) with its first and last value held beyond its ends."""
    first, last = rows[..., :1], rows[..., -1:]
    return torch.cat([first.expand(*first.shape[:-1], before), rows, last.expand(*last.shape[:-1], after)], -1)
