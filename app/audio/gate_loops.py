"""What `denoise.gate` does to a spectrogram, frame by frame while it lies in the cache."""

from typing import Any

import numpy as np

from app.runtime.compiled import compiled


@compiled
def cells_above(spectra: Any, threshold: Any, range_db: float, above: Any) -> None:
    """spectra: (frames, bins) complex64; threshold: power of each bin. Fills above (frames, bins), uint8: 1 or 0.

    A bin whose loudest frame lies more than range_db above its threshold is above it everywhere.
    """
    frames, bins = spectra.shape
    loudest = np.zeros(bins, np.float32)
    for t in range(frames):
        here = spectra[t]
        for k in range(bins):
            power = here[k].real * here[k].real + here[k].imag * here[k].imag
            loudest[k] = max(loudest[k], power)
            above[t, k] = power > threshold[k]
    least = np.float32(10 ** (-range_db / 10))
    for k in range(bins):
        if loudest[k] * least > threshold[k]:
            for t in range(frames):
                above[t, k] = 1


@compiled
def turn_down(spectra: Any, cells: Any, time: Any, frequency: Any, scale: float, floor: Any) -> None:
    """Multiplies spectra (frames, bins), in place, by floor (bins,) plus scale times the smoothed cells (frames, bins).

    time, frequency: odd weights, the middle one for the cell itself; beyond the edges cells are 0.
    """
    frames, bins = spectra.shape
    reach, wide = len(time) // 2, len(frequency) // 2
    row = np.zeros(bins + 2 * wide, np.float32)
    smooth = np.empty(bins, np.float32)
    for t in range(frames):
        inner = row[wide : wide + bins]
        inner[:] = 0
        for d in range(max(-reach, -t), min(reach, frames - 1 - t) + 1):
            weight, near = time[reach + d], cells[t + d]
            for k in range(bins):
                inner[k] += weight * near[k]
        smooth[:] = floor
        for d in range(len(frequency)):
            weight, near = frequency[d] * np.float32(scale), row[d : d + bins]
            for k in range(bins):
                smooth[k] += weight * near[k]
        here = spectra[t]
        for k in range(bins):
            here[k] *= smooth[k]


@compiled
def smoothed_in_time(values: Any, share: float) -> None:
    """values: (frames, bins), in place: y += share * (x - y), from the first frame to the last and back.

    It begins at rest with the first frame, and on the way back with the last.
    """
    for t in range(1, len(values)):
        here, before = values[t], values[t - 1]
        for k in range(len(here)):
            here[k] = before[k] + np.float32(share) * (here[k] - before[k])
    for t in range(len(values) - 2, -1, -1):
        here, after = values[t], values[t + 1]
        for k in range(len(here)):
            here[k] = after[k] + np.float32(share) * (here[k] - after[k])
