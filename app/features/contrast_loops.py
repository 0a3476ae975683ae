"""What `contrast` computes, for a CPU: the definition is there."""

from typing import Any

import numpy as np

from app.features.spectral_plan import CONTRAST_FLOOR
from app.runtime.compiled import compiled

NEAR = 1 << 21  # some 25 %: neighbouring frames overlap, so a threshold is seldom further from that of the frame before
NOTHING, ALL = -1, 0x7F7FFFFF  # bits of thresholds: below 0, and the greatest float32


@compiled
def contrast_rows(magnitude: Any, bands: Any, rows: Any) -> None:
    """magnitude: (frames, bins); bands: (bands, 3) as `spectral_plan.contrast_bands`. Fills rows (bands, frames)."""
    floor = np.float32(CONTRAST_FLOOR)
    number = np.zeros(1, np.float32)
    bits = number.view(np.int32)
    for b in range(len(bands)):
        first, last, count = bands[b]
        high, low = 0, 0
        for t in range(len(magnitude)):
            band = magnitude[t, first:last]
            if count == 1:
                peak, valley = band[0], band[0]
                for k in range(1, len(band)):
                    peak, valley = max(peak, band[k]), min(valley, band[k])
            else:
                peak, high = _extreme(band, np.float32(1), high, count, number, bits)
                valley, low = _extreme(band, np.float32(-1), low, count, number, bits)
            rows[b, t] = np.float32(10) * np.log10(max(peak, floor) / max(min(valley, peak), floor))


@compiled
def _extreme(values: Any, sign: Any, guess: int, count: int, number: Any, bits: Any) -> Any:
    """Mean of the `count` highest (sign 1) or lowest (sign -1) of values, which are not negative, and a threshold.

    Nothing is sorted: the threshold that `count` of them reach is found by halving, each step a count of eight or more
    values at a time. Halved are the bits, which rise as the numbers do: so it ends, however far the guess was, and
    where values are equal too. guess, and the threshold: bits; number, bits: one float32, and the same memory as int32.
    """
    wanted: Any = np.float32(count)
    way: Any = np.int64(sign)
    step = NEAR
    easy, hard = guess - way * step, guess + way * step
    reach_easy, reach_hard = np.float32(-1), np.float32(0)
    while True:
        easy = min(max(easy, 0), ALL)
        bits[0] = easy
        reach_easy = _reach(values, sign, number[0])
        if reach_easy >= wanted or easy == (0 if way > 0 else ALL):
            break
        hard, reach_hard = easy, reach_easy
        step *= 8
        easy -= way * step
    if reach_hard == 0:  # not known yet
        while True:
            hard = min(max(hard, NOTHING), ALL)
            reach_hard = np.float32(0)
            if hard != NOTHING:
                bits[0] = hard
                reach_hard = _reach(values, sign, number[0])
            if reach_hard < wanted or hard == (ALL if way > 0 else NOTHING):
                break
            easy, reach_easy = hard, reach_hard
            step *= 8
            hard += way * step
    while reach_easy != wanted and abs(hard - easy) > 1:
        middle = (easy + hard) // 2
        bits[0] = middle
        reach = _reach(values, sign, number[0])
        if reach >= wanted:
            easy, reach_easy = middle, reach
        else:
            hard, reach_hard = middle, reach
    bits[0] = easy
    if reach_easy == wanted:
        return _sum(values, sign, number[0]) / wanted, easy
    equal = number[0]  # all that lies between the two
    beyond = np.float32(0)
    if hard != NOTHING:
        bits[0] = hard
        beyond = _sum(values, sign, number[0])
    return (beyond + (wanted - reach_hard) * equal) / wanted, easy


@compiled
def _reach(values: Any, sign: Any, threshold: Any) -> Any:
    reach, threshold = np.float32(0), sign * threshold
    for k in range(
        len(values)
    ):  # in float32: an integer would be widened to 64 bits, and half of a register stand empty
        reach += np.float32(1) if sign * values[k] >= threshold else np.float32(0)
    return reach


@compiled
def _sum(values: Any, sign: Any, threshold: Any) -> Any:
    """Of those that reach the threshold."""
    total, threshold = np.float32(0), sign * threshold
    for k in range(len(values)):
        total += values[k] if sign * values[k] >= threshold else np.float32(0)
    return total
