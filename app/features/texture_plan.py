"""What the texture of a voice is measured with, the same for all frames: for tensors (a GPU) and a CPU alike."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORT_S = 0.008  # of the frames that show single pulses of a voice
STEP_S = 0.001  # wanted from one of them to the next
TREND_S = 0.020  # over so long the level of a band is evened out
WINDOW_S = 0.040  # over so long the rest is judged
LONG_S = 0.025  # of the frames that are predicted
SPECTRUM_S = 0.032  # and that they are padded to
PREDICTED_HZ = 16000.0  # the rate at which they are predicted, and of slower sound its own
LAG_S = 0.001  # the prediction looks back so far
EDGE_S = 0.00125  # of a predicted frame that its window leaves too little of
WHITE = 1e-3  # noise that the prediction takes for granted, as a share of the power
POWER_FLOOR = 1e-9  # of a short frame: some 105 dB below full scale
TINY = 1e-9
LEAST_VARIANCE = 1e-6  # of logarithms, where nothing moves


class TexturePlan(NamedTuple):
    """Numbers that are the same for all frames."""

    short_window: NDArray[np.float32]
    starts: NDArray[np.int64]  # of each short frame, in samples; the first is centred on sample 0
    filters: NDArray[np.float32]  # (short bins, bands)
    per_hop: int  # short frames from one frame to the next
    trend: int  # short frames to each side
    reach: int  # short frames to each side
    long_window: NDArray[np.float32]
    spectrum: int  # samples of a padded long frame
    predicted: int  # samples of it at the rate of the prediction
    heard: tuple[int, int]  # of them, first and one past the last that are judged
    waves: NDArray[np.float32]  # (bins, 2 (order + 1)): cosines, then sines, of each lag at each bin

    @property
    def order(self) -> int:
        return self.waves.shape[1] // 2 - 1


@lru_cache(maxsize=8)
def texture_plan(sample_rate: int, hop: int, frames: int, bands: int, hz: tuple[float, float]) -> TexturePlan:
    """hop, frames: of the other features, the hop in samples. hz: the bands lie within, below 0.45 of the sample rate.

    Raises ValueError where a band is narrower than a bin.
    """
    low, high = hz[0], min(hz[1], 0.45 * sample_rate)
    short, per_hop = round(SHORT_S * sample_rate), max(1, round(hop / sample_rate / STEP_S))
    step_s = hop / sample_rate / per_hop
    spectrum = 2 * round(SPECTRUM_S * sample_rate / 2)
    rate = min(PREDICTED_HZ, float(sample_rate))
    predicted = 2 * round(SPECTRUM_S * rate / 2)
    lags = np.arange(round(LAG_S * rate) + 1)
    angles = 2 * np.pi * np.outer(np.arange(predicted // 2 + 1), lags) / predicted
    return TexturePlan(
        short_window=_hann(short),
        starts=np.arange((frames - 1) * per_hop + 1) * hop // per_hop - short // 2,
        filters=_triangles(low, high, bands, sample_rate / short, short // 2 + 1),
        per_hop=per_hop,
        trend=max(1, round(TREND_S / step_s / 2)),
        reach=max(2, round(WINDOW_S / step_s / 2)),
        long_window=_hann(round(LONG_S * sample_rate)),
        spectrum=spectrum,
        predicted=predicted,
        heard=(round(EDGE_S * rate), round(LONG_S * rate) - round(EDGE_S * rate)),
        waves=np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32),
    )


def _hann(length: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def _triangles(low: float, high: float, bands: int, bin_hz: float, bins: int) -> NDArray[np.float32]:
    """(bins, bands), each from the middle of its neighbour below to that of its neighbour above."""
    edges, hz = np.linspace(low, high, bands + 2), np.arange(bins)[:, None] * bin_hz
    rising, falling = ((hz - a) / (b - a) for a, b in ((edges[:-2], edges[1:-1]), (edges[2:], edges[1:-1])))
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if not filters.any(axis=0).all():
        raise ValueError(f"{bands} bands from {low:g} to {high:g} Hz are too narrow for frames of 8 ms")
    return filters.astype(np.float32)
