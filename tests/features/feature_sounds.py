"""Sounds whose features are known: voices of a given F0, noises, chirps, and a few recordings of the demo corpus."""

import csv
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

Wave = NDArray[np.float32]
DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))  # Hz
BANDWIDTHS = (80, 100, 150)


def voice(f0_hz: float, sample_rate: int, seed: int, vibrato_cents: float = 40.0) -> tuple[Wave, Wave, Wave]:
    """1.6 s: silence, a vowel of 0.5 s, silence, one of 0.5 s, silence; and per 10 ms its true F0 and envelope.

    Harmonics falling by 6 dB an octave (a glottal pulse train, radiated) go through three formants; the vibrato is
    of 5 Hz. RMS 0.05 where voiced.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(int(1.6 * sample_rate)) / sample_rate
    hz = f0_hz * 2 ** (vibrato_cents / 1200 * np.sin(2 * np.pi * 5 * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(hz) / sample_rate
    wave = sum(np.cos(k * phase + 0.3 * k) / k for k in range(1, int(0.45 * sample_rate / hz.max()) + 1))
    for formant, width in zip(VOWELS[seed % len(VOWELS)], BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / sample_rate)
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / sample_rate), radius**2], wave)
    voiced = ((t > 0.2) & (t < 0.7)) | ((t > 0.9) & (t < 1.4))
    fade = np.hanning(int(0.02 * sample_rate))
    envelope = np.convolve(voiced, fade / fade.sum(), "same")
    centres = np.minimum(np.arange(161) * (sample_rate // 100), len(t) - 1)
    wave = 0.05 * wave / np.sqrt(np.mean(wave[voiced] ** 2)) * envelope
    return wave.astype(np.float32), hz[centres], envelope[centres]


def add_noise(wave: Wave, snr_db: float, seed: int) -> Wave:
    """White noise, snr_db below the voiced parts of `voice`."""
    noise = np.random.default_rng(seed).standard_normal(len(wave))
    return (wave + 0.05 * 10 ** (-snr_db / 20) * noise).astype(np.float32)


def tone(hz: float, sample_rate: int, seconds: float = 1.0, amplitude: float = 0.5) -> Wave:
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def white_noise(seed: int, samples: int, amplitude: float = 0.1) -> Wave:
    return (amplitude * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def real_ids(count: int) -> list[str]:
    """Ids of real recordings of the demo corpus, spread over the list."""
    with (DEMO / "train.csv").open() as file:
        ids = sorted(row["id"] for row in csv.DictReader(file) if row["label"] == "real")
    return ids[:: len(ids) // count][:count]


def recording(clip_id: str, sample_rate: int) -> Wave:
    """A recording of the demo corpus in 16-bit steps, as shards hold it (above 8 kHz it has only those steps)."""
    wave, rate = soundfile.read(DEMO / "train" / f"{clip_id}.ogg", dtype="float32")
    wave = librosa.resample(wave, orig_sr=rate, target_sr=sample_rate)
    return (np.round(wave.clip(-1, 1) * 32767) / 32768).astype(np.float32)


def varied_sounds(sample_rate: int) -> dict[str, Wave]:
    """A chirp over noise, noise in bursts, clicks in silence, a voice in noise and three recordings."""
    t = np.arange(2 * sample_rate) / sample_rate
    noise = white_noise(1, len(t))
    clicks = np.zeros(len(t), np.float32)
    clicks[sample_rate // 3 :: sample_rate // 7] = 0.9
    made = {
        "chirp": 0.3 * np.sin(2 * np.pi * (200 * t + 900 * t**2)) + 0.1 * noise,
        "bursts": noise * (np.sin(2 * np.pi * 3 * t) ** 2 + 0.001),
        "clicks": clicks,
        "voice": add_noise(voice(120.0, sample_rate, seed=0)[0], 20.0, seed=3),
    }
    made |= {clip_id: recording(clip_id, sample_rate) for clip_id in real_ids(3)}
    return {name: wave.astype(np.float32) for name, wave in made.items()}
