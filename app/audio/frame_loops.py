"""A waveform cut into windowed frames, and put together again."""

from typing import Any

from app.runtime.compiled import compiled


@compiled
def windowed_frames(samples: Any, window: Any, first: int, hop: int, frames: Any) -> None:
    """samples: (time,). Fills frames (count, len(window)): the k-th begins at sample first + k * hop.

    Before and after the samples are zeros.
    """
    for k in range(len(frames)):
        start = first + k * hop
        low, high = min(max(-start, 0), len(window)), min(max(len(samples) - start, 0), len(window))
        frames[k, :low] = 0
        frames[k, max(low, high) :] = 0
        here, there, weights = frames[k, low:high], samples[max(start, 0) :], window[low:high]
        for j in range(len(here)):
            here[j] = there[j] * weights[j]


@compiled
def overlap_add(frames: Any, window: Any, first: int, hop: int, samples: Any) -> None:
    """Adds window times each frame to samples (time,), where `windowed_frames` took it from."""
    for k in range(len(frames)):
        start = first + k * hop
        low, high = min(max(-start, 0), len(window)), min(max(len(samples) - start, 0), len(window))
        here, there, weights = frames[k, low:high], samples[max(start, 0) :], window[low:high]
        for j in range(len(here)):
            there[j] += here[j] * weights[j]
