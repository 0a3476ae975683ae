"""The measures that come from the samples themselves, for a CPU: zero crossings, level, and whether anything moves."""

from typing import Any

import numpy as np

from app.runtime.compiled import compiled

NEGATIVE = np.float32(-1e-10)  # what lies above counts as positive


@compiled
def wave_rows(wave: Any, frame: int, hop: int, rows: Any, moves: Any) -> None:
    """wave: (time,). Fills rows (2, frames): zero-crossing rate and RMS; moves (frames,): any two samples differ.

    As `temporal.zero_crossing_rate` and `temporal.rms` define them, which see zeros beyond the clip.
    """
    size, frames = len(wave), rows.shape[1]
    crossings, changes, start, stop = 0, 0, 1, 1  # of the pairs (k - 1, k), start <= k < stop
    for t in range(frames):
        first = t * hop - frame // 2
        to = min(max(first + frame, 1), size)
        came = _changes(wave, stop, to)
        away = min(max(first + 1, 1), to)
        went = _changes(wave, start, away)
        start, stop = away, to
        crossings += came[0] - went[0]
        changes += came[1] - went[1]
        rows[0, t], moves[t] = np.float32(crossings) / np.float32(frame), changes > 0
        heard, energy = wave[min(max(first, 0), size) : min(max(first + frame, 0), size)], np.float32(0)
        for k in range(len(heard)):
            energy += heard[k] * heard[k]
        rows[1, t] = np.sqrt(energy / np.float32(frame))


@compiled
def _changes(wave: Any, start: int, stop: int) -> Any:
    """(sign changes, changes) from sample to sample, for start <= k < stop."""
    crossings, changes, heard = np.int32(0), np.int32(0), wave[start - 1 : stop]
    for k in range(1, len(heard)):
        crossings += np.int32((heard[k] < NEGATIVE) != (heard[k - 1] < NEGATIVE))
        changes += np.int32(heard[k] != heard[k - 1])
    return crossings, changes
