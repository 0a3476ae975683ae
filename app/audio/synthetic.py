"""Computed noise: coloured noise and mains hum."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.level import Waveform

LOWEST_HZ = 20.0  # below, nobody hears the noise that the level would count
HUM_HARMONICS = 16
TABLE = 1 << 16  # samples of the wave table of one period of hum


def coloured(rng: np.random.Generator, num_samples: int, exponent: float, sample_rate: int) -> Waveform:
    """Gaussian noise with the power spectrum f^-exponent from 20 Hz up, (num_samples,), mean 0, RMS 1.

    exponent: 0 white, 1 pink, 2 brown. Fewer samples than a period of 20 Hz
    are white. Raises ValueError for fewer than two samples.

    What is drawn is the spectrum, evenly within a square: each sample is the
    sum of all its bins, and so is Gaussian whatever one bin is.
    """
    if num_samples < 2:
        raise ValueError(f"{num_samples} samples are no noise")
    size = scipy.fft.next_fast_len(num_samples, real=True)
    hz = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(sample_rate / size)
    lowest = LOWEST_HZ if num_samples * LOWEST_HZ >= sample_rate else 0.0
    gains = np.exp(np.log(np.maximum(hz, max(lowest, hz[1]))) * np.float32(-exponent / 2))
    gains[hz < lowest] = 0
    drawn = rng.random((len(hz), 2), dtype=np.float32)
    drawn -= np.float32(0.5)
    spectrum = drawn.view(np.complex64)[:, 0]
    spectrum *= gains
    noise = scipy.fft.irfft(spectrum, size, overwrite_x=True)[:num_samples]
    return at_unit_rms(noise - noise.mean())


def hum(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Waveform:
    """Mains hum, (num_samples,), RMS 1: 50 or 60 Hz and up to 16 decaying harmonics with random phases."""
    mains_hz = rng.choice([50.0, 60.0]) * (1 + 0.001 * rng.standard_normal())
    order = np.arange(1, min(HUM_HARMONICS, int(0.45 * sample_rate / mains_hz)) + 1)
    amplitudes = order ** -rng.uniform(0.7, 2.0) * rng.lognormal(0.0, 0.5, len(order))
    spectrum = np.zeros(TABLE // 2 + 1, np.complex64)
    spectrum[order] = amplitudes * np.exp(2j * np.pi * rng.random(len(order)))
    table = scipy.fft.irfft(spectrum)
    step = np.uint32(round(mains_hz / sample_rate * 2**32))  # of a turn, of which 32 bits hold one
    turns = np.arange(num_samples, dtype=np.uint32) * step
    return at_unit_rms(table[turns >> np.uint32(32 - TABLE.bit_length() + 1)])


def at_unit_rms(noise: NDArray[np.floating]) -> Waveform:
    """The noise, (time,), scaled to RMS 1. Raises ValueError for silence."""
    rms = np.sqrt(np.square(noise).mean())
    if rms < 1e-12:
        raise ValueError("noise without any power")
    return (noise / rms).astype(np.float32, copy=False)
