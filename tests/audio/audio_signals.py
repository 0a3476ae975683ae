"""Sounds for the tests, synthesised: a voice-like buzz, its pauses, hiss, and measures of them."""

import numpy as np
from scipy.signal import butter, sosfilt

RATE = 16000


def voice(seconds=2.0, sample_rate=RATE, hz=120.0, seed=0, noise=0.0):
    """A buzz with moving pitch and loudness, below 3.4 kHz, RMS 0.1."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.1 * np.sin(2 * np.pi * 2.7 * t))) / sample_rate
    top = int(3000 / hz)
    buzz = sum(np.sin(k * phase + rng.uniform(0, 6)) / k**0.7 for k in range(3, top))
    buzz = buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * t))
    samples = 0.1 * buzz / np.sqrt(np.mean(buzz**2)) + noise * rng.standard_normal(len(t))
    return samples.astype(np.float32)


def hiss(seconds, rms, seed=0, sample_rate=RATE, band_hz=None):
    noise = np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))
    if band_hz is not None:
        noise = sosfilt(butter(4, band_hz, "bandpass", fs=sample_rate, output="sos"), noise)
    return (rms * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def tone(hz, seconds=1.0, sample_rate=RATE, rms=0.1):
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (rms * np.sqrt(2) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def shift_and_likeness(reference, other, most):
    """(lag in samples at which `other` follows the reference, correlation there), lags up to `most`."""
    size = 2 * len(reference)
    cross = np.fft.irfft(np.conj(np.fft.rfft(reference, size)) * np.fft.rfft(other, size))
    lags = np.arange(-most, most + 1)
    best = lags[np.argmax(cross[lags])]
    norm = np.sqrt(np.sum(np.square(reference, dtype=float)) * np.sum(np.square(other, dtype=float)))
    return best, cross[best] / norm
