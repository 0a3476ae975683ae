"""What `texture` computes, frame by frame, for a CPU: the definitions are there."""

from typing import Any

import numpy as np

from app.features.texture_plan import LEAST_VARIANCE, TINY
from app.runtime.compiled import compiled


@compiled
def scattered_frames(samples: Any, window: Any, starts: Any, frames: Any) -> None:
    """samples: (time,). Fills frames (count, len(window)), windowed: each from its start; zeros lie beyond the clip."""
    for k in range(len(starts)):
        start = starts[k]
        low, high = min(max(-start, 0), len(window)), min(max(len(samples) - start, 0), len(window))
        frames[k, :low] = 0
        frames[k, max(low, high) :] = 0
        here, there, weights = frames[k, low:high], samples[max(start, 0) :], window[low:high]
        for j in range(len(here)):
            here[j] = there[j] * weights[j]


@compiled
def pulse_rows(level: Any, per_hop: int, trend: int, reach: int, rows: Any) -> None:
    """level: (short frames, bands), logarithms, from which the trend is taken, in place.

    Fills rows (2 bands, frames): the spread of each band, then how far it moves with the others.
    """
    length, bands = level.shape
    _without_trend(level, trend)
    middle = np.empty(length, np.float32)
    for j in range(length):
        total = np.float32(0)
        for b in range(bands):
            total += level[j, b]
        middle[j] = total / np.float32(bands)
    count, floor = np.float32(2 * reach), np.float32(LEAST_VARIANCE)
    room = np.empty((3, bands), np.float32)
    one, two, with_all = room[0], room[1], room[2]
    for t in range(rows.shape[1]):
        room[:] = 0
        overall, square = np.float32(0), np.float32(0)
        for j in range(t * per_hop - reach, t * per_hop + reach):
            here, all_ = level[min(max(j, 0), length - 1)], middle[min(max(j, 0), length - 1)]
            overall += all_
            for b in range(bands):
                one[b] += here[b]
        overall /= count
        for b in range(bands):
            one[b] /= count
        for j in range(t * per_hop - reach, t * per_hop + reach):
            here, all_ = level[min(max(j, 0), length - 1)], middle[min(max(j, 0), length - 1)] - overall
            square += all_ * all_
            for b in range(bands):
                away = here[b] - one[b]
                two[b] += away * away
                with_all[b] += away * all_
        together = square / count + floor
        for b in range(bands):
            variance = two[b] / count + floor
            rows[b, t] = np.float32(0.5) * np.log(variance)
            rows[bands + b, t] = with_all[b] / count / np.sqrt(variance * together)


@compiled
def _without_trend(level: Any, trend: int) -> None:
    """Less its moving mean; beyond its ends the level stays what it is there."""
    length, bands = level.shape
    sums = np.zeros((length + 2 * trend + 1, bands), np.float64)
    for j in range(length + 2 * trend):
        here = level[min(max(j - trend, 0), length - 1)]
        for b in range(bands):
            sums[j + 1, b] = sums[j, b] + here[b]
    for j in range(length):
        for b in range(bands):
            level[j, b] -= np.float32((sums[j + 2 * trend + 1, b] - sums[j, b]) / (2 * trend + 1))


@compiled
def powers(spectra: Any, weights: Any, rows: Any) -> None:
    """spectra: (frames, bins) complex64; weights: (bins,). Fills rows (frames, bins): the power, weighted."""
    for t in range(len(spectra)):
        here, there = spectra[t], rows[t]
        for k in range(len(weights)):
            there[k] = (here[k].real * here[k].real + here[k].imag * here[k].imag) * weights[k]


@compiled
def filtered(spectra: Any, real: Any, imag: Any, rows: Any) -> None:
    """Fills rows (frames, bins) complex64: spectra times real - i imag."""
    for t in range(len(rows)):
        here, one, other, there = spectra[t], real[t], imag[t], rows[t]
        for k in range(len(there)):
            there[k] = complex(
                here[k].real * one[k] + here[k].imag * other[k], here[k].imag * one[k] - here[k].real * other[k]
            )


@compiled
def predictors(correlation: Any, weights: Any, left: Any) -> None:
    """Levinson and Durbin: correlation (frames, order + 1) -> weights likewise, the first 1, and left (frames,): the
    power that the prediction leaves.
    """
    order = correlation.shape[1] - 1
    before = np.empty(order + 1, np.float64)
    now = np.empty(order + 1, np.float64)
    for t in range(len(correlation)):
        here = correlation[t]
        now[:] = 0
        now[0] = 1
        error = np.float64(here[0])
        for i in range(1, order + 1):
            total = np.float64(here[i])
            for j in range(1, i):
                total += now[j] * here[i - j]
            reflected = -total / error
            before[:] = now
            for j in range(1, i):
                now[j] = before[j] + reflected * before[i - j]
            now[i] = reflected
            error *= max(1 - reflected * reflected, 1e-6)
        for j in range(order + 1):
            weights[t, j] = now[j]
        left[t] = error


@compiled
def residual_rows(residual: Any, rows: Any) -> None:
    """residual: (frames, time). Fills rows (3, frames): skewness, kurtosis, and the highest peak."""
    for t in range(len(residual)):
        here, mean, highest = residual[t], np.float32(0), np.float32(0)
        for k in range(len(here)):
            mean += here[k]
        mean /= np.float32(len(here))
        two, three, four = np.float32(0), np.float32(0), np.float32(0)
        for k in range(len(here)):
            highest = max(highest, abs(here[k]))
        scale = np.float32(1) / max(highest, np.float32(TINY))  # else a quiet frame's powers underflow
        for k in range(len(here)):
            away = (here[k] - mean) * scale
            square = away * away
            two += square
            three += square * away
            four += square * square
        count = np.float32(len(here))
        variance = two / count + np.float32(TINY)
        rows[0, t] = three / count / (variance * np.sqrt(variance))
        rows[1, t] = np.log(np.float32(1) + four / count / (variance * variance))
        rows[2, t] = np.log(max(highest * scale, np.float32(TINY)) / np.sqrt(variance))
