"""What is measured on: real voices of the demo at any rate, and synthetic ones whose F0 is known."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Wave = NDArray[np.float32]
DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
CLIP_S, HOP_S = 5.0, 0.01
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
F0_HZ = (
    80.0,
    100.0,
    130.0,
    160.0,
    200.0,
    250.0,
    320.0,
    400.0,
    480.0,
)  # in the middle of each synthetic voice, within 600 Hz at its height


def real_voices(count: int, sample_rate: int) -> list[Wave]:
    """5-s clips of recordings of people, spread over the demo; a shorter one goes on from its start."""
    with (DEMO / "train.csv").open(encoding="utf-8", newline="") as file:
        paths = sorted(DEMO / row["path"] for row in csv.DictReader(file) if row["label"] == "real")
    step = max(1, len(paths) // count)
    return [tiled(path, sample_rate, CLIP_S) for path in paths[::step][:count]]


def synthetic_voices(sample_rate: int, snr_db: float) -> list[tuple[Wave, NDArray[np.float64], NDArray[np.float64]]]:
    """(waveform, F0 in Hz, share voiced) of each, the last two per 10 ms: four vowels with pauses, gliding, in noise.

    Pulses that fall by 6 dB an octave go through three formants; F0 glides by half an octave and
    trembles by 30 cents, 5 times a second. The noise is white, snr_db below the voiced parts.
    """
    from scipy.signal import lfilter

    found = []
    for seed, middle_hz in enumerate(F0_HZ):
        rng = np.random.default_rng(seed)
        time = np.arange(round(CLIP_S * sample_rate)) / sample_rate
        octaves = 0.25 * np.sin(2 * np.pi * time / CLIP_S + rng.uniform(0, 6))
        hz = middle_hz * 2 ** (octaves + 0.025 * np.sin(2 * np.pi * 5 * time))
        phase = 2 * np.pi * np.cumsum(hz) / sample_rate
        pulses = sum(np.cos(k * phase + 0.3 * k) / k for k in range(1, int(0.45 * sample_rate / hz.max()) + 1))
        voiced = (time % 1.25 > 0.2) & (time % 1.25 < 1.1)
        wave = np.zeros(len(time))
        for n, formants in enumerate(FORMANTS_HZ):
            inside = time // 1.25 == n
            part = pulses * inside
            for formant, width in zip(formants, (80, 100, 150), strict=True):
                radius = np.exp(-np.pi * width / sample_rate)
                part = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / sample_rate), radius**2], part)
            wave += 0.05 * part / np.sqrt(np.mean(part[inside & voiced] ** 2)) * inside
        fade = np.hanning(round(0.02 * sample_rate))
        envelope = np.convolve(voiced, fade / fade.sum(), "same")
        wave *= envelope
        wave += 0.05 * 10 ** (-snr_db / 20) * rng.standard_normal(len(wave))
        centres = np.minimum(np.arange(1 + round(CLIP_S / HOP_S)) * round(HOP_S * sample_rate), len(time) - 1)
        found.append((wave.astype(np.float32), hz[centres], envelope[centres]))
    return found


def tiled(path: Path, sample_rate: int, seconds: float) -> Wave:
    """A recording at this rate, going on from its start until it is long enough, or cut."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.resize(soxr.resample(samples[:, 0], rate, sample_rate), round(seconds * sample_rate))
