"""How loud a waveform is: over all of it, frame by frame, and where somebody speaks."""

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]  # (..., time), in [-1, 1] unless said otherwise

FLOOR_DB = -100.0  # the level of silence
ACTIVE_DB = 35.0  # frames this far below the loudest still hold speech
FRAME_S = 0.020


def rms_db(waveform: Waveform, frame: int, hop: int) -> NDArray[np.float64]:
    """Level of each frame, in dB re full scale.

    waveform: (..., time). Returns (..., frames).
    Frames start at 0, hop, 2*hop...; a short tail is dropped.
    Silence gives -100. Raises ValueError if time < frame or a length is not positive.
    """
    if frame < 1 or hop < 1:
        raise ValueError(f"frame {frame} and hop {hop} must be positive")
    if waveform.shape[-1] < frame:
        raise ValueError(f"{waveform.shape[-1]} samples, a frame needs {frame}")
    frames = np.lib.stride_tricks.sliding_window_view(waveform, frame, axis=-1)[..., ::hop, :]
    return _decibels(np.einsum("...i,...i->...", frames, frames).astype(np.float64) / frame)


def level_db(waveform: Waveform) -> NDArray[np.float64]:
    """Level of the whole waveform, (..., time) -> (...), in dB re full scale; silence gives -100.

    Raises ValueError for no samples.
    """
    if waveform.shape[-1] == 0:
        raise ValueError("no samples have no level")
    return _decibels(np.square(waveform).mean(-1).astype(np.float64))  # numpy sums in pairs: float32 will do


def active_level_db(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Level of the speech alone, in dB re full scale: (..., time) -> (...).

    The mean power of the 20-ms frames within 35 dB of the loudest one, so
    pauses and padding do not count; a waveform shorter than a frame is one
    frame. Silence gives -100. Raises ValueError for no samples.
    A plain form of the active speech level of ITU-T P.56.
    """
    if waveform.shape[-1] == 0:
        raise ValueError("no samples have no level")
    frame = min(round(FRAME_S * sample_rate), waveform.shape[-1])
    levels = rms_db(waveform, frame, frame)
    active = levels >= levels.max(-1, keepdims=True) - ACTIVE_DB
    power = np.where(active, 10 ** (levels / 10), 0.0).sum(-1) / active.sum(-1)
    return np.maximum(10 * np.log10(power), FLOOR_DB)


def active_share(waveform: Waveform, sample_rate: int, step_s: float) -> NDArray[np.float64]:
    """How much of each step of step_s holds speech: (time,) -> (steps,), 0 to 1; the last step may be short.

    Speech is in the 20-ms frames within 35 dB of the loudest one. Silence has none.
    """
    frame = min(round(FRAME_S * sample_rate), waveform.shape[-1])
    levels = rms_db(waveform, frame, frame)
    active = (levels >= levels.max() - ACTIVE_DB) & (levels > FLOOR_DB)
    frames = max(1, round(step_s * sample_rate / frame))
    starts = np.arange(0, len(active), frames)
    return np.add.reduceat(active.astype(float), starts) / np.diff([*starts, len(active)])


def _decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
