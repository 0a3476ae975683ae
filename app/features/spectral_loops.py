"""What `mel` and `temporal` compute from a spectrogram, for a CPU: the definitions are theirs, the order is ours.

LANES frames at a time are turned so that neighbours in memory are neighbours in time: then every sum over the bins is
done for eight frames by one instruction, and what is read lies in the cache.
"""

from typing import Any

import numpy as np

from app.features.contrast_loops import contrast_rows
from app.features.spectral_plan import POWER_FLOOR, TINY, SpectralPlan
from app.runtime.compiled import compiled

LANES = 64
TOGETHER = 8  # powers that are multiplied in double precision before the exponent is put aside: 1e-80 to 1e160
MANTISSA, ONE = 0xFFFFFFFFFFFFF, 0x3FF0000000000000  # bits of a double
LN2 = 0.6931471805599453


@compiled
def spectral_rows(
    spectra: Any, before: Any, plan: SpectralPlan, band: Any, banded: Any, whole: Any, total: Any, mel: Any, rows: Any
) -> None:
    """Some frames of a clip: spectra (frames, bins) complex64; before: (bins,), the magnitude of the frame before them,
    which becomes that of the last of them; band: (kept,) weights.

    Fills banded (frames, kept), the power times band; whole (frames,), the power of all bins; total (frames,), the
    sum of the magnitude; mel (mels, frames), the mel power; rows (channels, frames): roll-off, centroid, bandwidth,
    flatness, the rise of the magnitude, then the contrasts. All calls but the last have a multiple of LANES frames.
    """
    frames, bins = spectra.shape
    by_frame = np.zeros((LANES, bins), np.float32)
    by_bin = np.empty((bins, LANES + 1), np.float32)  # the first lane is the frame before
    by_bin[:, LANES] = before
    room = np.empty((7, LANES), np.float32)
    product, exponent = np.empty(LANES, np.float64), np.empty(LANES, np.int64)
    bits = product.view(np.int64)
    power = np.empty((len(plan.mel_edges) + 1, LANES), np.float32)
    sums, below, centre, spread, rise, bin_, flat = room[0], room[1], room[2], room[3], room[4], room[5], room[6]
    for start in range(0, frames, LANES):
        stop = min(start + LANES, frames)
        _power(spectra, start, stop, band, banded, whole, by_frame)
        contrast_rows(by_frame[: stop - start], plan.bands, rows[5:, start:stop])
        _turn(by_frame, by_bin)
        _moments(by_bin, plan.hz, sums, centre, spread, rise)
        _roll_off(by_bin, plan.roll_off, sums, below, bin_)
        _flatness(by_bin, product, bits, exponent, below, flat)
        _mel(by_bin, plan, power)
        for t in range(start, stop):
            lane = t - start
            rows[0, t], rows[1, t], rows[2, t] = plan.hz[int(bin_[lane])], centre[lane], spread[lane]
            rows[3, t], rows[4, t], total[t] = flat[lane], rise[lane], sums[lane]
        for b in range(len(mel)):
            for t in range(start, stop):
                mel[b, t] = power[b + 1, t - start]
    before[:] = by_bin[:, LANES]


@compiled
def flux_row(total: Any, reach: int, rise: Any) -> None:
    """From the rise of each frame of a clip, (frames,), its flux, in place: over the loudest total within reach."""
    frames = len(rise)
    rise[0] = 0
    for t in range(1, frames):
        loudest = np.float32(TINY)
        for near in range(max(0, t - reach), min(frames, t + reach + 1)):
            loudest = max(loudest, total[near])
        rise[t] = min(rise[t] / loudest, np.float32(1))


@compiled
def _power(spectra: Any, start: int, stop: int, band: Any, banded: Any, whole: Any, by_frame: Any) -> None:
    """Magnitudes go to by_frame (LANES, bins)."""
    for t in range(start, stop):
        here, total, lane = spectra[t], np.float32(0), t - start
        for k in range(len(here)):
            power = here[k].real * here[k].real + here[k].imag * here[k].imag
            total += power
            by_frame[lane, k] = np.sqrt(power)
        whole[t] = total
        for k in range(len(band)):
            banded[t, k] = by_frame[lane, k] * by_frame[lane, k] * band[k]


@compiled
def _turn(by_frame: Any, by_bin: Any) -> None:
    bins = len(by_bin)
    for k in range(bins):
        by_bin[k, 0] = by_bin[k, LANES]
    for first in range(0, LANES, 8):  # eight rows fit the first cache, however their addresses collide
        for k in range(bins):
            for lane in range(first, first + 8):
                by_bin[k, lane + 1] = by_frame[lane, k]


@compiled
def _moments(by_bin: Any, hz: Any, total: Any, centre: Any, spread: Any, rise: Any) -> None:
    total[:], centre[:], spread[:], rise[:] = 0, 0, 0, 0
    for k in range(len(hz)):
        for lane in range(LANES):
            here = by_bin[k, lane + 1]
            total[lane] += here
            centre[lane] += hz[k] * here
            rise[lane] += max(here - by_bin[k, lane], np.float32(0))
    for lane in range(LANES):
        centre[lane] /= max(total[lane], np.float32(TINY))
    for k in range(len(hz)):
        for lane in range(LANES):
            spread[lane] += (hz[k] - centre[lane]) ** 2 * by_bin[k, lane + 1]
    for lane in range(LANES):
        spread[lane] = np.sqrt(spread[lane] / max(total[lane], np.float32(TINY)))


@compiled
def _roll_off(by_bin: Any, share: Any, total: Any, below: Any, bin_: Any) -> None:
    """Number of bins below the roll-off."""
    below[:], bin_[:] = 0, 0
    for k in range(len(by_bin) - 1):
        for lane in range(LANES):
            below[lane] += by_bin[k, lane + 1]
            bin_[lane] += np.float32(1) if below[lane] < share * total[lane] else np.float32(0)


@compiled
def _flatness(by_bin: Any, product: Any, bits: Any, exponent: Any, whole: Any, flat: Any) -> None:
    """One logarithm a frame: of the product of all powers. bits: product, seen as integers."""
    bins, floor = len(by_bin), np.float32(POWER_FLOOR)
    product[:], exponent[:], whole[:] = 1.0, 0, 0
    for first in range(0, bins, TOGETHER):
        for k in range(first, min(first + TOGETHER, bins)):
            for lane in range(LANES):
                power = max(by_bin[k, lane + 1] * by_bin[k, lane + 1], floor)
                whole[lane] += power
                product[lane] *= power
        for lane in range(LANES):
            exponent[lane] += (bits[lane] >> 52) - 1023
            bits[lane] = (bits[lane] & MANTISSA) | ONE
    for lane in range(LANES):
        mean = np.exp((np.log(product[lane]) + exponent[lane] * LN2) / bins)
        flat[lane] = min(mean / (whole[lane] / bins), 1.0)


@compiled
def _mel(by_bin: Any, plan: SpectralPlan, power: Any) -> None:
    """Power (mels + 2, LANES): each bin lies under two triangles; the first and the last row are of no mel."""
    power[:] = 0
    for j in range(len(plan.mel_edges) - 1):
        for k in range(plan.mel_edges[j], plan.mel_edges[j + 1]):
            for lane in range(LANES):
                here = by_bin[k, lane + 1] * by_bin[k, lane + 1]
                power[j, lane] += plan.falling[k] * here
                power[j + 1, lane] += plan.rising[k] * here
