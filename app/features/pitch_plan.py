"""What F0 and voicing are found with, the same for all frames: for tensors (a GPU) and loops (a CPU) alike."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LAG_RATE = 16000.0  # lags a second, at most
BAND_HZ = (40.0, 200.0, 2000.0, 3000.0)  # cut, then rising as f, flat, falling: rumble below, noise in voices above
CANDIDATES = 8  # highest peaks of a frame, of which the path takes one or none
VOICED_FROM = 0.5  # strength at which a peak beats "unvoiced": the band holds as much voice as noise
OCTAVE_GAIN = 0.03  # for each octave above the lowest F0: of two equal peaks the shorter period is taken
JUMP_COST = 0.5  # an octave between frames 10 ms apart
SWITCH_COST = 0.2  # between voiced and unvoiced, 10 ms apart
QUIET = 0.03  # amplitude in the band, of the clip's loudest frame, near and below which a frame is rather unvoiced
ROUNDING = 1e-10  # share of the power below which the band holds nothing but the rounding of float32
TINY = 1e-30
NEVER = -1e4  # gain of a state that no path takes


class PitchPlan(NamedTuple):
    """Numbers that are the same for all frames."""

    band: NDArray[np.float32]  # weights of the bins from which the autocorrelation is made
    size: int  # of its transform
    lag_rate: float  # lags a second
    first: int  # shortest lag
    unwindow: NDArray[np.float32]  # (lags,): one over the window's own autocorrelation
    score: NDArray[np.float32]  # (lags,): what a lag loses for its length
    f0_hz: tuple[float, float]
    jump_cost: float
    switch_cost: float


@lru_cache(maxsize=16)
def pitch_plan(sample_rate: int, frame: int, hop: int, f0_hz: tuple[float, float]) -> PitchPlan:
    bin_hz = sample_rate / frame
    band = band_weights(frame // 2 + 1, bin_hz)
    size = 2 * (len(band) - 1)
    lags = longest_lag(size, bin_hz, f0_hz[0])
    per_10_ms = 0.01 * sample_rate / hop
    return PitchPlan(
        band=band,
        size=size,
        lag_rate=size * bin_hz,
        first=max(int(size * bin_hz / f0_hz[1]), 1),
        unwindow=(1 / window_correlation(lags, size)).astype(np.float32),
        score=(OCTAVE_GAIN * np.log2(np.maximum(np.arange(lags), 1))).astype(np.float32),
        f0_hz=f0_hz,
        jump_cost=JUMP_COST * per_10_ms,
        switch_cost=SWITCH_COST * per_10_ms,
    )


def band_weights(bins: int, bin_hz: float) -> NDArray[np.float32]:
    """Of the bins that make the autocorrelation: those below half of LAG_RATE, (kept,), 0..1."""
    kept = min(bins, round(LAG_RATE / 2 / bin_hz) + 1)
    hz = np.arange(kept) * bin_hz
    cut, top, fall, end = BAND_HZ
    weights = (hz > cut) * (hz / top).clip(0, 1) * ((end - hz) / (end - fall)).clip(0, 1)
    return weights.astype(np.float32)


def longest_lag(size: int, bin_hz: float, lowest_hz: float) -> int:
    """How many lags, from 0, are needed to see the period of lowest_hz as a peak."""
    return min(int(size * bin_hz / lowest_hz) + 3, size // 2)


def window_correlation(lags: int, size: int) -> NDArray[np.float32]:
    """Autocorrelation of the periodic Hann window itself, 1 at lag 0, (lags,)."""
    return ((2 + np.cos(np.arange(lags) * (2 * np.pi / size))) / 3).astype(np.float32)
