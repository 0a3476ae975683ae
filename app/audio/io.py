"""From any audio file to samples: whatever libsndfile reads, and nothing that could hang or flood us."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from app.audio.level import FRAME_S, Waveform, rms_db

BLOCK_SAMPLES = 1 << 17  # read at once, all channels together
LONGEST_S = 2 * 3600.0  # no recording is read beyond this
RATES_HZ = (1000, 768_000)  # a header that says otherwise is broken


class BadClip(Exception):
    """A recording that cannot be used.

    cause: 'missing', 'not a file', 'unreadable', 'empty', 'non-finite',
    'too short', 'too long' or 'silent'. detail: what was found.
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(cause, detail)  # both, so that it survives the way back from a worker process
        self.cause = cause
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


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
    return Clip(_within_scale(samples), source_rate, channels)


def decode(path: Path | str, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """The recording as (samples, sample_rate): float32 (time,), the mean of its channels.

    Any format libsndfile knows, told by content and not by name. A float file
    beyond full scale is scaled into [-1, 1]. Of a file cut off midway, what
    decodes is kept (of a FLAC file, nothing). Raises BadClip for what is missing, not a regular file,
    unreadable, empty, not finite, or (without max_seconds) over two hours long.
    """
    samples, sample_rate, _ = _read(path, max_seconds)
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


def _read(path: Path | str, max_seconds: float | None) -> tuple[Waveform, int, int]:
    try:
        # NONBLOCK: opening a named pipe must not wait for its writer
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadClip("missing", "no such file") from None
    except (OSError, ValueError) as error:
        raise BadClip("unreadable", getattr(error, "strerror", None) or str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadClip("not a file", "a directory, pipe or device")
        if os.fstat(fd).st_size == 0:
            raise BadClip("empty", "no bytes")
        # by descriptor: libsndfile then trusts the content, not the name's ending
        with soundfile.SoundFile(fd, closefd=False) as file:
            if not RATES_HZ[0] <= file.samplerate <= RATES_HZ[1]:
                raise BadClip("unreadable", f"its header says {file.samplerate} Hz")
            samples = _read_blocks(file, max_seconds)
            sample_rate, channels = int(file.samplerate), int(file.channels)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        # without the descriptor's number, which differs from run to run
        raise BadClip("unreadable", getattr(error, "error_string", None) or str(error)) from None
    finally:
        os.close(fd)
    if len(samples) == 0:
        raise BadClip("empty", "no samples")
    if not np.isfinite(samples).all():
        raise BadClip("non-finite", "holds NaN or infinite samples")
    return _within_scale(samples), sample_rate, channels


def _read_blocks(file: soundfile.SoundFile, max_seconds: float | None) -> Waveform:
    """The mean of the channels, (time,); memory grows with what is there, not with what the header says."""
    limit = int(np.ceil((LONGEST_S if max_seconds is None else max_seconds) * file.samplerate))
    blocks, got = [np.zeros(0, np.float32)], 0
    block_frames = max(BLOCK_SAMPLES // file.channels, 1)  # a header may say 1024 channels
    while got < limit:
        block = file.read(min(block_frames, limit - got), dtype="float32", always_2d=True)
        if len(block) == 0:
            return np.concatenate(blocks)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite
            blocks.append(block[:, 0] if file.channels == 1 else block.mean(1, dtype=np.float32))
        got += len(block)
    if max_seconds is None and len(file.read(1)):
        raise BadClip("too long", f"over {LONGEST_S / 3600:g} hours")
    return np.concatenate(blocks)


def _within_scale(samples: Waveform) -> Waveform:
    peak = max(samples.max(initial=0.0), -samples.min(initial=0.0))
    return samples / peak if peak > 1 else samples
