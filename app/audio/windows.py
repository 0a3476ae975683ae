"""The windows of a recording of any length, one after another; of a long one only what a window needs is held."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import soxr

from app.audio.io import resample, within_scale
from app.audio.level import Waveform
from app.audio.open import BadClip, blocks_of, opened
from app.runtime.seat import breathe

WHOLE = 300 * 48000  # samples of a recording that is read at once: five minutes at 48 kHz
LONGEST_S = 24 * 3600.0


def windows_of(path: Path | str, sample_rate: int, size: int, overlap: int) -> Iterator[tuple[int, Waveform]]:
    """(first sample, samples (time,)) of each window at sample_rate, as `window_starts` has them.

    Raises BadClip before the first window, as `io.decode` does, and for over 24 hours. A recording of over five
    minutes (at 48 kHz) is read twice: once to know that it is sound to its end, and how loud; then window by
    window. Between blocks it breathes: a day takes minutes to read.
    """
    with opened(path) as file:
        rate, blocks, got = int(file.samplerate), list[Waveform](), 0
        for block in blocks_of(file):
            blocks.append(block)
            got += len(block)
            if got > WHOLE:
                break
        if got <= WHOLE:
            if not got:
                raise BadClip("empty", "no samples")
            samples = within_scale(resample(within_scale(np.concatenate(blocks)), rate, sample_rate))
            if not len(samples):
                raise BadClip("too short", "less than one sample at the rate wanted")
            yield from ((start, samples[start : start + size]) for start in window_starts(len(samples), size, overlap))
            return
        peak = max(map(_peak, blocks))
        blocks.clear()
        for block in chain(blocks_of(file), [np.zeros(0, np.float32)]):
            breathe()
            peak, got = max(peak, _peak(block)), got + len(block)
            if got > LONGEST_S * rate:
                raise BadClip("too long", f"over {LONGEST_S / 3600:g} hours")
    with opened(path) as file:
        scale = np.float32(1 / max(peak, 1.0))
        chunks = (block * scale for block in _breathing(blocks_of(file, got)))
        for start, window in _cut(_resampled(chunks, rate, sample_rate), size, overlap):
            yield start, within_scale(window)


def _breathing(blocks: Iterator[Waveform]) -> Iterator[Waveform]:
    for block in blocks:
        breathe()
        yield block


def window_starts(num_samples: int, size: int, overlap: int) -> list[int]:
    """First samples of windows of `size` that cover a recording, neighbours sharing `overlap` samples.

    The last window ends with the recording and may share more; a recording no longer
    than a window has one, from 0. Raises ValueError unless 0 <= overlap < size.
    """
    _check(size, overlap)
    if num_samples <= size:
        return [0]
    return [*range(0, num_samples - size, size - overlap), num_samples - size]


def _cut(chunks: Iterable[Waveform], size: int, overlap: int) -> Iterator[tuple[int, Waveform]]:
    """The windows of what comes in chunks: `window_starts` without knowing how long it will be."""
    _check(size, overlap)
    held, begin, next_start = np.zeros(0, np.float32), 0, 0  # begin: where in the recording `held` begins
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while next_start + size < begin + len(held):
            yield next_start, held[next_start - begin : next_start - begin + size]
            next_start += size - overlap
        spare = min(next_start, begin + len(held) - size) - begin  # the last window may begin before the next
        if spare > 0:
            held, begin = held[spare:], begin + spare
    last = max(0, begin + len(held) - size)
    yield last, held[last - begin :]


def _resampled(chunks: Iterator[Waveform], from_rate: int, to_rate: int) -> Iterator[Waveform]:
    """As `io.resample`, chunk by chunk."""
    if from_rate == to_rate:
        yield from chunks
        return
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    came, went = 0, 0
    for chunk in chunks:
        came += len(chunk)
        out = stream.resample_chunk(chunk)
        went += len(out)
        yield out
    length = round(came * to_rate / from_rate) - went
    out = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    yield np.pad(out[:length], (0, max(0, length - len(out))))


def _check(size: int, overlap: int) -> None:
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size}")


def _peak(samples: Waveform) -> float:
    return float(max(samples.max(initial=0.0), -samples.min(initial=0.0)))
