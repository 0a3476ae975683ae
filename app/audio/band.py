"""Bands taken out of a waveform, or left alone in it, without a delay.

A digital Butterworth filter run forwards and backwards has its squared magnitude as its response, which is known in
closed form: it is multiplied onto the spectrum.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.level import Waveform

RING_S = 0.25  # of silence around the waveform: a filter rings on, and the spectrum is that of a circle
STEEPEST = 100.0  # beyond, a frequency is as good as stopped or passed: by 160 dB


def band_stop(waveform: Waveform, sample_rate: int, low_hz: float, high_hz: float) -> Waveform:
    """The waveform without the band from low_hz to high_hz, (..., time) -> (..., time) float32.

    A fourth-order Butterworth band-stop run forwards and backwards: no delay,
    6 dB down at the edges and over 40 dB in the middle. A band that reaches
    Nyquist is stopped up to there. Raises ValueError unless
    0 < low_hz < high_hz and low_hz < sample_rate / 2.
    """
    highest_hz = 0.499 * sample_rate
    if not 0 < low_hz < min(high_hz, highest_hz):
        raise ValueError(f"band {low_hz:g}-{high_hz:g} Hz does not lie below {highest_hz:g} Hz")
    return _filtered(waveform, sample_rate, low_hz, min(high_hz, highest_hz), stop=True)


def band_pass(waveform: Waveform, sample_rate: int, low_hz: float, high_hz: float) -> Waveform:
    """The band from low_hz to high_hz alone, as steep as `band_stop`; 0 < low_hz < high_hz < sample_rate / 2."""
    if not 0 < low_hz < high_hz < sample_rate / 2:
        raise ValueError(f"band {low_hz:g}-{high_hz:g} Hz does not lie below {sample_rate / 2:g} Hz")
    return _filtered(waveform, sample_rate, low_hz, high_hz, stop=False)


def _filtered(waveform: Waveform, sample_rate: int, low_hz: float, high_hz: float, *, stop: bool) -> Waveform:
    length = waveform.shape[-1]
    if length == 0:
        return waveform
    size = scipy.fft.next_fast_len(length + round(RING_S * sample_rate), real=True)
    warped = _warped(size)
    low, high = np.tan(np.pi * low_hz / sample_rate), np.tan(np.pi * high_hz / sample_rate)
    # how far from the band's middle, 1 at its edges
    distance = (warped - np.float32(low * high) / warped) / np.float32(high - low)
    np.clip(distance, -STEEPEST, STEEPEST, out=distance)
    power = np.square(np.square(np.square(distance)))  # to the eighth: twice the order
    gains = (power if stop else np.float32(1)) / (1 + power)
    spectrum = scipy.fft.rfft(waveform.astype(np.float32, copy=False), size)
    spectrum *= gains
    filtered: Waveform = scipy.fft.irfft(spectrum, size, overwrite_x=True)[..., :length]
    return filtered


@lru_cache(maxsize=4)
def _warped(size: int) -> NDArray[np.float32]:
    """tan(pi f / sample_rate) of each bin: frequencies as the bilinear transform sees them; never 0 nor endless."""
    return np.tan(np.pi * np.arange(size // 2 + 1) / size).clip(1e-9, 1e9).astype(np.float32)
