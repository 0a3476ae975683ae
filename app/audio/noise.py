"""The noise bank: background cut from the pauses of recordings, and grown to any length."""

import itertools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from app.audio.level import FLOOR_DB, Waveform, rms_db
from app.audio.synthetic import at_unit_rms

FRAME_S, HOP_S = 0.020, 0.010
GUARD_S = 0.020  # left out beside speech: the first and last of a sound lie below every threshold
BAND_EDGES_HZ = (80.0, 500.0, 1500.0, 3000.0, 7000.0)
STANDS_OUT_DB = 9.0  # a band this far above its floor holds a sound; noise of 20 ms scatters by less
NOTHING_DBFS = -75.0  # below, a file holds rounding errors or digital silence and no background
SPEECH_PERCENTILE, FLOOR_PERCENTILE = 95, 5
PITCH_HZ = (75.0, 400.0)
PERIODIC = 0.45  # autocorrelation from which a segment repeats itself as a voice does


def speech_free(samples: Waveform, sample_rate: int, below_db: float, min_seconds: float) -> list[tuple[int, int]]:
    """The stretches (start, stop) of samples, (time,), that hold no speech, each at least min_seconds long.

    Every 20-ms frame in them lies below_db under the speech level (95th
    percentile of the frames), and in none of four bands does it stand 9 dB
    out of the clip's floor there (5th percentile): so fricatives and tails of
    words, weak as they are, do not pass for background. Neither does digital
    silence, nor what repeats itself at the pitch of a voice, be it a room's
    memory of one or a hum taken for it. 20 ms are kept away on either side.
    Take the stretches from the recording as it came: after a gate, what is
    left between words is residue of consonants. No pause, or too short a
    clip: []. Raises ValueError for a min_seconds or below_db that is not positive.
    """
    if not (below_db > 0 and min_seconds > 0):
        raise ValueError(f"below_db {below_db:g} and min_seconds {min_seconds:g} must be positive")
    frame, hop, guard = (round(seconds * sample_rate) for seconds in (FRAME_S, HOP_S, GUARD_S))
    if len(samples) < frame:
        return []
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    level = rms_db(samples, frame, hop)
    alive = level > NOTHING_DBFS
    if not alive.any():
        return []
    bands = _band_levels(frames, sample_rate)
    floor = np.percentile(bands[alive], FLOOR_PERCENTILE, axis=0)
    quiet = alive & (level < np.percentile(level, SPEECH_PERCENTILE) - below_db)
    quiet &= (bands < floor + STANDS_OUT_DB).all(-1)
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)).tolist()
    ranges = [
        (first * hop + guard, (last - 1) * hop + frame - guard)
        for first, last in zip(edges[0::2], edges[1::2], strict=True)
    ]
    shortest = max(round(min_seconds * sample_rate), 1)
    return [
        (start, stop)
        for start, stop in ranges
        if stop - start >= shortest
        and np.ptp(samples[start:stop]) > 0  # a level that is held is no background
        and _periodicity(samples[start:stop], sample_rate) < PERIODIC
    ]


def texture(rng: np.random.Generator, segment: Waveform, num_samples: int) -> Waveform:
    """Noise that sounds like the segment and goes on for num_samples: (time,) -> (num_samples,), RMS 1.

    Grains half as long as the segment, from random places in it, with random
    signs, overlap by half under windows whose powers add up to one: no seams,
    and no period, since neighbours are uncorrelated. Raises ValueError for a
    segment under 8 samples, or a constant one. A granular synthesis as in
    C. Roads, Microsound, 2001.
    """
    if len(segment) < 8:
        raise ValueError(f"a segment of {len(segment)} samples has no texture")
    hop = max(min(len(segment) // 4, num_samples), 1)
    grain = 2 * hop
    count = 2 * (num_samples // grain + 2)
    starts = rng.integers(0, len(segment) - grain + 1, count)
    signs = rng.choice(np.array([-1, 1], np.float32), count)
    window = np.sin(np.pi * (np.arange(grain) + 0.5) / grain).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(segment - np.float32(segment.mean(dtype=np.float64)), grain)
    grains = views[starts]
    grains *= window
    grains *= signs[:, None]
    # even grains lie side by side, odd ones half a grain later; the first half grain has one layer only
    noise = grains[0::2].reshape(-1)
    noise[hop:] += grains[1::2].reshape(-1)[:-hop]
    return at_unit_rms(noise[hop : hop + num_samples])


def _band_levels(frames: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Level of each frame, (frames, time), in each band below Nyquist: (frames, bands), dB."""
    time = frames.shape[-1]
    edges = np.ceil(np.array(BAND_EDGES_HZ) * time / sample_rate).astype(int).clip(0, time // 2 + 1)
    spectra = scipy.fft.rfft(frames * np.hanning(time).astype(np.float32))[:, : edges[-1]]
    power = spectra.real**2 + spectra.imag**2
    # a band's first bin is the first at or above its edge
    bands = [power[:, low:high].mean(-1) for low, high in itertools.pairwise(edges.tolist()) if low < high]
    return _decibels(np.stack(bands, -1).astype(np.float64))


def _periodicity(segment: Waveform, sample_rate: int) -> float:
    """The highest autocorrelation, -1 to 1, at the periods of a voice that fit twice; -1 if none does."""
    shortest, longest = int(sample_rate / PITCH_HZ[1]), min(int(sample_rate / PITCH_HZ[0]), len(segment) // 2)
    if longest <= shortest:
        return -1.0
    size = scipy.fft.next_fast_len(len(segment) + longest, real=True)
    power = np.square(np.abs(scipy.fft.rfft(segment - segment.mean(), size)))
    products = scipy.fft.irfft(power, size)[: longest + 1]
    # fewer products meet at longer lags
    fair = products * (len(segment) / (len(segment) - np.arange(longest + 1)))
    return float(fair[shortest:].max() / max(products[0], 1e-20))


def _decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
