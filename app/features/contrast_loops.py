"""What `contrast` computes, for a CPU: the definition is there."""

from typing import Any

import numpy as np

from app.features.spectral_plan import CONTRAST_FLOOR
from app.runtime.compiled import compiled

NEAR = np.float32(0.25)  # neighbouring frames overlap: the threshold of one, give or take this share, is the next one's
LEAST = np.float32(1e-12)
HALVINGS = 24  # at most: what then lies between the bounds is equal but for rounding


@compiled
def contrast_rows(magnitude: Any, bands: Any, rows: Any) -> None:
    """magnitude: (frames, bins); bands: (bands, 3) as `spectral_plan.contrast_bands`. Fills rows (bands, frames)."""
    for b in range(len(bands)):
        first, last, count = bands[b]
        high, low = np.float32(0), np.float32(0)
        for t in range(len(magnitude)):
            band = magnitude[t, first:last]
            if count == 1:
                peak, valley = band[0], band[0]
                for k in range(1, len(band)):
                    peak, valley = max(peak, band[k]), min(valley, band[k])
            else:
                peak, high = _highest(band, np.float32(1), high, count)
                valley, low = _highest(band, np.float32(-1), low, count)
                valley = -valley
            contrast = max(peak, np.float32(CONTRAST_FLOOR)) / max(valley, np.float32(CONTRAST_FLOOR))
            rows[b, t] = np.float32(10) * np.log10(contrast)


@compiled
def _highest(values: Any, sign: Any, guess: Any, count: Any) -> Any:
    """Mean of the `count` highest of sign * values, and a threshold that they reach, sought from the guess.

    Nothing is sorted: each step counts how many reach a threshold, eight or more values at a time.
    """
    step = max(abs(guess) * NEAR, LEAST)
    low, high = guess - step, guess + step
    reach_low, reach_high = _reach(values, sign, low), _reach(values, sign, high)
    while reach_low < count:
        step *= np.float32(4)
        high, reach_high, low = low, reach_low, low - step
        reach_low = _reach(values, sign, low)
    while reach_high >= count:
        step *= np.float32(4)
        low, reach_low, high = high, reach_high, high + step
        reach_high = _reach(values, sign, high)
    for _ in range(HALVINGS):
        if reach_low == count:
            break
        middle = np.float32(0.5) * (low + high)
        reach = _reach(values, sign, middle)
        if reach >= count:
            low, reach_low = middle, reach
        else:
            high, reach_high = middle, reach
    if reach_low == count:
        return _sum(values, sign, low) / np.float32(count), low
    return (_sum(values, sign, high) + (np.float32(count) - reach_high) * low) / np.float32(count), low


@compiled
def _reach(values: Any, sign: Any, threshold: Any) -> Any:
    reach = np.float32(0)  # an integer would be widened to 64 bits, and half of a register stand empty
    for k in range(len(values)):
        reach += np.float32(1) if sign * values[k] >= threshold else np.float32(0)
    return reach


@compiled
def _sum(values: Any, sign: Any, threshold: Any) -> Any:
    """Of those that reach the threshold."""
    total = np.float32(0)
    for k in range(len(values)):
        value = sign * values[k]
        total += value if value >= threshold else np.float32(0)
    return total
