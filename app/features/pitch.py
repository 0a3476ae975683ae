"""F0 and voicing of a batch of clips: peaks of the autocorrelation and the best path through them.

After P. Boersma, Accurate short-term analysis of the fundamental frequency, IFA Proceedings 17 (1993), with the
transitions and the octave cost of Praat. Ours: the autocorrelation comes out of the spectrogram that the other
features use, and only the band that is periodic in voices enters it. The Hann window makes 64 ms see as much of
a gliding voice as some 35 ms without a window do.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from app.features.mel import power_stft
from app.features.path import best_path
from app.features.pitch_plan import (
    CANDIDATES,
    JUMP_COST,
    NEVER,
    OCTAVE_GAIN,
    QUIET,
    ROUNDING,
    SWITCH_COST,
    TINY,
    VOICED_FROM,
    band_weights,
    longest_lag,
    window_correlation,
)


def pitch(
    waveform: Tensor,
    sample_rate: int,
    frame: int,
    hop: int,
    f0_hz: tuple[float, float],
    power: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """F0 and voicing of each frame. waveform: (..., time). Returns two of (..., frames), frames = 1 + time // hop.

    F0 is in Hz, inside f0_hz, and 0 where unvoiced. Voicing, in 0..1, is the height of the autocorrelation at that
    period, about S / (S + N) of the band from 40 to 3000 Hz; where unvoiced, of its highest peak.
    The rising edge of the band pulls a lone tone up, by 33 cents at 66 Hz, 15 at 100, 0 from 220; a voice, with its
    harmonics, hardly.
    Frames of silence, or of any constant, give 0 and 0. frame: two periods of the lowest F0 at least, better four.
    power: `power_stft` of the waveform, for those who have it already.
    """
    if power is None:
        power = power_stft(waveform, frame, hop)
    correlation, level, lag_rate = _autocorrelation(power, sample_rate / frame, f0_hz[0])
    hz, strength = _candidates(correlation, lag_rate, f0_hz)
    octaves = hz.log2()
    voiced_gain = strength + OCTAVE_GAIN * (octaves - math.log2(f0_hz[0]))
    loudness = level / level.amax(-1, keepdim=True).clamp_min(TINY)
    unvoiced_gain = VOICED_FROM + (2 - loudness * (1 + VOICED_FROM) / QUIET).clamp_min(0)
    gain = torch.cat([voiced_gain, unvoiced_gain.unsqueeze(-1)], -1).transpose(-1, -2)
    per_10_ms = 0.01 * sample_rate / hop
    state = best_path(gain, octaves.transpose(-1, -2), JUMP_COST * per_10_ms, SWITCH_COST * per_10_ms)
    moves = _moves(waveform, frame, hop)
    voiced = (state < hz.shape[-1]) & moves
    chosen = torch.where(voiced, state, strength.argmax(-1)).unsqueeze(-1)
    f0 = torch.where(voiced, hz.gather(-1, chosen).squeeze(-1), 0.0)
    voicing = torch.where(moves, strength.gather(-1, chosen).squeeze(-1), 0.0)
    return f0, voicing.clamp(0.0, 1.0)


def _autocorrelation(power: Tensor, bin_hz: float, lowest_hz: float) -> tuple[Tensor, Tensor, float]:
    """(..., bins, frames) -> normalised (..., frames, lags from 0), level in the band (..., frames), lags a second.

    Divided by the window's own autocorrelation, so that a periodic sound reaches 1 at each period. It is circular:
    what wraps around is under 1 % at a quarter of a frame.
    """
    spectra = power.transpose(-1, -2)
    band = torch.from_numpy(band_weights(power.shape[-2], bin_hz)).to(power.device)
    kept = len(band)
    size = 2 * (kept - 1)
    correlation = torch.fft.irfft(spectra[..., :kept] * band, n=size)
    lags = longest_lag(size, bin_hz, lowest_hz)
    window = torch.from_numpy(window_correlation(lags, size)).to(power.device)
    energy = correlation[..., :1] * size
    energy = torch.where(energy > ROUNDING * spectra.sum(-1, keepdim=True), energy, 0.0)
    normalised = torch.where(energy > TINY, correlation[..., :lags] * size / (energy.clamp_min(TINY) * window), 0.0)
    return normalised, energy.squeeze(-1).sqrt(), size * bin_hz


def _candidates(correlation: Tensor, lag_rate: float, f0_hz: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Frequencies and heights, each (..., frames, CANDIDATES), of the highest peaks; NEVER high where there are fewer.

    Peaks are refined by a parabola through three lags; those outside f0_hz are dropped.
    """
    first = max(int(lag_rate / f0_hz[1]), 1)
    before, here, after = correlation[..., first - 1 : -2], correlation[..., first:-1], correlation[..., first + 1 :]
    lags = torch.arange(first, first + here.shape[-1], device=here.device, dtype=here.dtype)
    is_peak = (here > before) & (here >= after) & (here > 0)
    score = torch.where(is_peak, here - OCTAVE_GAIN * lags.log2(), NEVER)
    score, at = score.topk(min(CANDIDATES, here.shape[-1]))
    left, top, right = before.gather(-1, at), here.gather(-1, at), after.gather(-1, at)
    shift = (0.5 * (right - left) / (2 * top - left - right).clamp_min(TINY)).clamp(-0.5, 0.5)
    hz = lag_rate / (lags[at] + shift)
    height = top + 0.25 * (right - left) * shift
    good = (score > NEVER / 2) & (hz >= f0_hz[0]) & (hz <= f0_hz[1])
    return torch.where(good, hz, f0_hz[0]), torch.where(good, height, NEVER)


def _moves(waveform: Tensor, frame: int, hop: int) -> Tensor:
    """Whether any two samples of a frame differ, (..., frames); the zeros around the clip do not count."""
    changes = pad((waveform[..., 1:] != waveform[..., :-1]).to(torch.uint8), (1 + frame // 2, frame - frame // 2))
    return changes.unfold(-1, frame, hop)[..., 1:].amax(-1) > 0
