"""What `pitch` and `path` compute, frame by frame, for a CPU: the definitions are theirs."""

import math
from typing import Any

import numpy as np

from app.features.pitch_plan import (
    CANDIDATES,
    NEVER,
    OCTAVE_GAIN,
    QUIET,
    ROUNDING,
    TINY,
    VOICED_FROM,
    PitchPlan,
)
from app.runtime.compiled import compiled


@compiled
def banded_power(spectra: Any, band: Any, banded: Any, whole: Any) -> None:
    """spectra: (frames, bins) complex64. Fills banded (frames, kept), the power times band, and whole, that of all."""
    for t in range(len(spectra)):
        here, total = spectra[t], np.float32(0)
        for k in range(len(here)):
            total += here[k].real * here[k].real + here[k].imag * here[k].imag
        whole[t] = total
        for k in range(len(band)):
            banded[t, k] = (here[k].real * here[k].real + here[k].imag * here[k].imag) * band[k]


@compiled
def candidates(correlation: Any, whole: Any, plan: PitchPlan, hz: Any, height: Any, level: Any) -> None:
    """Some frames of a clip: correlation (frames, lags), its first lag the energy; whole: (frames,), power of all bins.

    Fills hz and height (frames, CANDIDATES), those of the highest peaks, NEVER high where there are fewer, and level
    (frames,), the amplitude in the band.
    """
    heard = np.empty(len(plan.unwindow), np.float32)
    hz[:], height[:] = np.float32(plan.f0_hz[0]), np.float32(NEVER)
    for t in range(len(correlation)):
        energy = correlation[t, 0]
        if energy <= ROUNDING * whole[t]:
            energy = np.float32(0)
        level[t] = np.sqrt(max(energy, np.float32(0)))
        if energy <= TINY:
            continue
        for lag in range(len(heard)):
            heard[lag] = correlation[t, lag] * plan.unwindow[lag] / energy
        _peaks(heard, plan, hz[t], height[t])


@compiled
def pitch_rows(hz: Any, height: Any, level: Any, moves: Any, plan: PitchPlan, rows: Any) -> None:
    """From the `candidates` of a whole clip, and moves (frames,) bool: fills rows (2, frames): F0 and voicing."""
    frames, lowest = len(hz), plan.f0_hz[0]
    octaves, gain = np.log2(hz), np.empty((frames, CANDIDATES + 1), np.float32)
    loudest = max(level.max(), np.float32(TINY))
    for t in range(frames):
        for k in range(CANDIDATES):
            gain[t, k] = height[t, k] + OCTAVE_GAIN * (octaves[t, k] - math.log2(lowest))
        gain[t, CANDIDATES] = VOICED_FROM + max(2 - level[t] / loudest * (1 + VOICED_FROM) / QUIET, 0.0)
    path = _best_path(gain, octaves, plan.jump_cost, plan.switch_cost)
    for t in range(frames):
        voiced = path[t] < CANDIDATES and moves[t]
        rows[0, t] = hz[t, path[t]] if voiced else np.float32(0)
        strength = height[t, path[t]] if voiced else height[t].max()
        rows[1, t] = min(max(strength, np.float32(0)), np.float32(1)) if moves[t] else np.float32(0)


@compiled
def _peaks(heard: Any, plan: PitchPlan, hz: Any, height: Any) -> None:
    """The highest peaks of a frame, best first, each refined by a parabola through three lags."""
    lags, scores, found = np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES, np.float32), 0
    for lag in range(plan.first, len(heard) - 1):
        here = heard[lag]
        if not (here > 0 and here > heard[lag - 1] and here >= heard[lag + 1]):
            continue
        score = here - plan.score[lag]
        if found == CANDIDATES and score <= scores[found - 1]:
            continue
        at = found if found < CANDIDATES else CANDIDATES - 1
        found = min(found + 1, CANDIDATES)
        while at > 0 and scores[at - 1] < score:
            scores[at], lags[at] = scores[at - 1], lags[at - 1]
            at -= 1
        scores[at], lags[at] = score, lag
    for k in range(found):
        left, top, right = heard[lags[k] - 1], heard[lags[k]], heard[lags[k] + 1]
        shift = min(max(0.5 * (right - left) / max(2 * top - left - right, TINY), -0.5), 0.5)
        found_hz = plan.lag_rate / (lags[k] + shift)
        if plan.f0_hz[0] <= found_hz <= plan.f0_hz[1]:
            hz[k], height[k] = found_hz, top + 0.25 * (right - left) * shift


@compiled
def _best_path(gain: Any, octaves: Any, jump_cost: float, switch_cost: float) -> Any:
    """gain: (frames, states); octaves: (frames, states - 1). As `path.best_path`."""
    frames, states = gain.shape
    origin = np.empty((frames, states), np.int8)
    total, now = gain[0].copy(), np.empty(states, np.float32)
    last = states - 1
    for t in range(1, frames):
        for j in range(states):
            if j < last and gain[t, j] < NEVER / 2:  # no path takes it
                now[j], origin[t, j] = total[last] - switch_cost + gain[t, j], last
                continue
            best, at = np.float32(-np.inf), 0
            for i in range(states):
                if i == last or j == last:
                    cost = 0.0 if i == j else switch_cost
                else:
                    cost = jump_cost * abs(octaves[t, j] - octaves[t - 1, i])
                value = np.float32(total[i] - cost)
                if value > best:
                    best, at = value, i
            now[j], origin[t, j] = best + gain[t, j], at
        total, now = now, total
    path = np.empty(frames, np.int64)
    path[frames - 1] = total.argmax()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = origin[t, path[t]]
    return path
