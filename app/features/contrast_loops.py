"""What `contrast` computes, for a CPU: the definition is there."""

from typing import Any

import numpy as np

from app.features.spectral_plan import CONTRAST_FLOOR
from app.runtime.compiled import compiled

SLACK = np.float32(0.75)  # neighbouring frames overlap: what was among the highest tells where to look for them


@compiled
def contrast_rows(magnitude: Any, bands: Any, rows: Any) -> None:
    """magnitude: (frames, bins); bands: (bands, 3) as `spectral_plan.contrast_bands`. Fills rows (bands, frames)."""
    found, best = np.empty(magnitude.shape[1] + 1, np.float32), np.empty(bands[:, 2].max(), np.float32)
    for b in range(len(bands)):
        first, last, count = bands[b]
        above, below = np.float32(0), np.float32(np.inf)
        for t in range(len(magnitude)):
            band = magnitude[t, first:last]
            if count == 1:
                peak, valley = band[0], band[0]
                for k in range(1, len(band)):
                    peak, valley = max(peak, band[k]), min(valley, band[k])
            else:
                peak = _highest(band, above, np.float32(1), found, best[:count])
                above = best[0] * SLACK
                valley = -_highest(band, -below, np.float32(-1), found, best[:count])
                below = -best[0] / SLACK
            contrast = max(peak, np.float32(CONTRAST_FLOOR)) / max(valley, np.float32(CONTRAST_FLOOR))
            rows[b, t] = np.float32(10) * np.log10(contrast)


@compiled
def _highest(values: Any, above: Any, sign: Any, found: Any, best: Any) -> Any:
    """Mean of the len(best) highest of sign * values, which stand in best, ascending.

    above: fewer than all, and more than those wanted, should reach it; found: room for one more than all.
    """
    many = 0
    for k in range(len(values)):  # without a branch
        found[many] = sign * values[k]
        many += sign * values[k] >= above
    if many < len(best):
        many = len(values)
        for k in range(many):
            found[k] = sign * values[k]
    best[:] = -np.inf
    for k in range(many):
        value = found[k]
        if value > best[0]:
            i = 0
            while i + 1 < len(best) and best[i + 1] < value:
                best[i] = best[i + 1]
                i += 1
            best[i] = value
    mean = np.float32(0)
    for i in range(len(best)):
        mean += best[i]
    return mean / np.float32(len(best))
