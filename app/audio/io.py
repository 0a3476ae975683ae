"""From any audio file to samples of one rate, and from float to 16 bits and back."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from app.audio.level import FRAME_S, Waveform, rms_db
from app.audio.open import BadClip, blocks_of, opened

LONGEST_S = 2 * 3600.0  # no recording is read into memory beyond this


class Clip(NamedTuple):
    """A recording ready for use, and what it was before."""

    samples: Waveform  # (time,) mono, in [-1, 1]
    source_rate: int  # Hz
    source_channels: int


def load_clip(
    path: Path | str, sample_rate: int | None, *, min_seconds: float, max_seconds: float | None, silent_dbfs: float
) -> Clip:
    """The recording at `sample_rate` (None: at its own), mono; at most its first max_seconds.

    Raises BadClip as `decode` does, and for one shorter than min_seconds or
    whose loudest 20-ms frame lies below silent_dbfs.
    """
    samples, source_rate, channels = _read(path, max_seconds)
    if len(samples) < min_seconds * source_rate:
        raise BadClip("too short", f"{len(samples) / source_rate:.3f} s, wanted {min_seconds:g} s")
    frame = min(max(round(FRAME_S * source_rate), 1), len(samples))
    loudest = float(rms_db(samples, frame, frame).max())
    if loudest < silent_dbfs:
        raise BadClip("silent", f"the loudest frame has {loudest:.1f} dBFS, wanted {silent_dbfs:g} dBFS")
    samples = resample(samples, source_rate, sample_rate or source_rate)
    if len(samples) == 0:
        raise BadClip("too short", "less than one sample at the rate wanted")
    return Clip(within_scale(samples), source_rate, channels)


def decode(path: Path | str, max_seconds: float | None = None, first_channel: bool = False) -> tuple[Waveform, int]:
    """The recording as (samples, sample_rate): float32 (time,), the mean of its channels or the first of them.

    Any format libsndfile knows, told by content and not by name. A float file
    beyond full scale is scaled into [-1, 1]. Of a file cut off midway, what
    decodes is kept (of a FLAC file, nothing). Raises BadClip for what is missing, not a regular file,
    unreadable, empty, not finite, or (without max_seconds) over two hours long.
    """
    samples, sample_rate, _ = _read(path, max_seconds, first_channel)
    return samples, sample_rate


def resample(samples: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """(..., time) at to_rate, by soxr's HQ; no delay; round(time * to_rate / from_rate) samples long."""
    if from_rate == to_rate:
        return samples.astype(np.float32, copy=False)
    length = round(samples.shape[-1] * to_rate / from_rate)
    out = np.zeros((*samples.shape[:-1], length), np.float32)
    for index in np.ndindex(samples.shape[:-1]):
        new = soxr.resample(samples[index].astype(np.float32, copy=False), from_rate, to_rate, quality="HQ")
        out[index][: len(new)] = new[:length]
    return out


def to_int16(samples: Waveform) -> NDArray[np.int16]:
    """Rounded to 16 bits; what exceeds full scale stays there and never wraps. Raises ValueError for NaN."""
    scaled = samples * np.float32(32768)
    np.clip(np.rint(scaled, out=scaled), -32768, 32767, out=scaled)
    if np.isnan(scaled.sum()):
        raise ValueError("NaN has no 16-bit value")
    return scaled.astype(np.int16)


def from_int16(samples: NDArray[np.int16]) -> Waveform:
    """Float32 in [-1, 1); `to_int16` undoes it exactly."""
    return samples.astype(np.float32) / np.float32(32768)


def _read(path: Path | str, max_seconds: float | None, first_channel: bool = False) -> tuple[Waveform, int, int]:
    """(samples, sample rate, channels); memory grows with what is there, not with what the header says."""
    with opened(path) as file:
        sample_rate, channels = int(file.samplerate), int(file.channels)
        most = int(np.ceil((LONGEST_S if max_seconds is None else max_seconds) * sample_rate))
        blocks = [np.zeros(0, np.float32), *blocks_of(file, most, first_channel)]
        if max_seconds is None and sum(map(len, blocks)) >= most and len(file.read(1)):
            raise BadClip("too long", f"over {LONGEST_S / 3600:g} hours")
    samples = np.concatenate(blocks)
    if len(samples) == 0:
        raise BadClip("empty", "no samples")
    return within_scale(samples), sample_rate, channels


def within_scale(samples: Waveform) -> Waveform:
    """As they are, or, where they reach beyond full scale, all of them so much quieter that they do not."""
    peak = max(samples.max(initial=0.0), -samples.min(initial=0.0))
    return samples / peak if peak > 1 else samples
