"""Plain facts of one recording, for the audit and for telling which clips sound alike."""

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS = 20
FRAME_S = 0.032
FLOOR_DB = -100.0


def clip_facts(samples: NDArray[np.float32], sample_rate: int) -> dict[str, Any]:
    """samples: (time,) in [-1, 1]. Returns, all plain numbers:

    seconds; rms_dbfs; peak; bandwidth_hz (below it lie 99.5 % of the energy);
    leading_silence_s (until a frame comes within 40 dB of the loudest);
    digest (equal for equal 16-bit audio); colour (2 * BANDS numbers: mean and spread
    in dB of log-spaced bands from 80 Hz over the voiced-loud frames, level removed).
    """
    frame = max(16, round(FRAME_S * sample_rate))
    padded = np.pad(samples, (0, -len(samples) % frame))
    frames = padded.reshape(-1, frame)
    level = 10 * np.log10(np.maximum(np.square(frames).mean(-1), 1e-10))
    loud = level > level.max() - 40
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(frame).astype(np.float32))))
    total = power.sum(0)
    share = np.cumsum(total) / max(float(total.sum()), 1e-20)
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
    return {
        "seconds": len(samples) / sample_rate,
        "rms_dbfs": float(10 * np.log10(max(float(np.square(samples).mean()), 1e-10))),
        "peak": float(np.abs(samples).max()),
        "bandwidth_hz": float(np.searchsorted(share, 0.995) * sample_rate / frame),
        "leading_silence_s": float(np.argmax(loud) * frame / sample_rate),
        "digest": hashlib.sha256(pcm.tobytes()).hexdigest()[:24],
        "colour": [round(float(value), 3) for value in _colour(power[loud], sample_rate, frame)],
    }


def _colour(power: NDArray[np.float32], sample_rate: int, frame: int) -> NDArray[np.float64]:
    """Bands end at 4 kHz or half the rate, so that recordings of different rates compare."""
    edges = np.geomspace(80, min(4000, sample_rate / 2), BANDS + 1) * frame / sample_rate
    bins = np.arange(power.shape[-1])
    bands = []
    for low, high in pairwise(edges):
        inside = (bins >= np.floor(low)) & (bins < max(np.ceil(high), np.floor(low) + 1))
        bands.append(10 * np.log10(power[:, inside].mean(-1) + 1e-10))
    db = np.stack(bands, -1)
    db -= db.mean()
    return np.concatenate([db.mean(0), db.std(0)])
