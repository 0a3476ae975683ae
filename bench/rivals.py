"""What others take for the same: librosa, Praat, noisereduce, each called as its documentation shows."""

from typing import Any, NamedTuple

import librosa
import noisereduce as noisereduce
import numpy as np
import parselmouth
from numpy.typing import NDArray

from app.features.on_cpu import pitch_of
from bench.sounds import HOP_S, Wave

F0_HZ, FRAME_S = (65.0, 600.0), 0.064


class Pitch(NamedTuple):
    """Per frame, each HOP_S; F0 is 0 where unvoiced."""

    hz: NDArray[np.float64]
    voiced: NDArray[np.bool_]


def users_way(waves: list[Wave], sample_rate: int) -> None:
    """One loop, as the users had it: mel, pyin and the spectral features of librosa."""
    for wave in waves:
        _one(wave, sample_rate)


def _one(wave: Wave, sample_rate: int) -> None:
    frame, hop = _frame_and_hop(sample_rate)
    librosa.power_to_db(
        librosa.feature.melspectrogram(y=wave, sr=sample_rate, n_fft=frame, hop_length=hop, n_mels=64), ref=np.max
    )
    pyin(wave, sample_rate)
    how: Any = {"n_fft": frame, "hop_length": hop}
    librosa.feature.spectral_centroid(y=wave, sr=sample_rate, **how)
    librosa.feature.spectral_bandwidth(y=wave, sr=sample_rate, **how)
    librosa.feature.spectral_rolloff(y=wave, sr=sample_rate, **how)
    librosa.feature.spectral_flatness(y=wave, **how)
    librosa.feature.spectral_contrast(y=wave, sr=sample_rate, n_bands=5, **how)
    librosa.onset.onset_strength(y=wave, sr=sample_rate, **how)
    librosa.feature.zero_crossing_rate(y=wave, frame_length=frame, hop_length=hop)
    librosa.feature.rms(y=wave, frame_length=frame, hop_length=hop)


def pyin(wave: Wave, sample_rate: int) -> Pitch:
    frame, hop = _frame_and_hop(sample_rate)
    hz, voiced, _ = librosa.pyin(wave, fmin=F0_HZ[0], fmax=F0_HZ[1], sr=sample_rate, frame_length=frame, hop_length=hop)
    return Pitch(np.nan_to_num(hz), voiced)


def pyin_as_published(wave: Wave, sample_rate: int) -> Pitch:
    """As `pyin`, with the difference function of its paper: a window of half the frame against itself, a lag apart.

    Both about the middle of the frame. librosa 0.11 compares the whole frame with itself, and so hears a longer time.
    Source: A. de Cheveigné, H. Kawahara, YIN, JASA 111, 2002, equation 6; M. Mauch, S. Dixon, pYIN, ICASSP 2014.
    """
    from librosa.core import pitch as librosa_pitch

    pitch: Any = librosa_pitch
    theirs, pitch._cumulative_mean_normalized_difference = pitch._cumulative_mean_normalized_difference, _differences
    try:
        return pyin(wave, sample_rate)
    finally:
        pitch._cumulative_mean_normalized_difference = theirs


def _differences(frames: Any, min_period: int, max_period: int) -> Any:
    """frames: (frame length, frames) -> (periods, frames), over the mean of all shorter lags."""
    size, lags = len(frames), np.arange(1, max_period + 1)
    window, found = size // 2, np.empty((max_period, frames.shape[1]))
    for lag in lags:
        start = (size - window - lag) // 2
        apart = frames[start : start + window] - frames[start + lag : start + lag + window]
        found[lag - 1] = np.einsum("ij,ij->j", apart, apart)
    mean = np.cumsum(found, 0) / lags[:, None]
    return found[min_period - 1 :] / (mean[min_period - 1 :] + 1e-30)


def yin(wave: Wave, sample_rate: int) -> Pitch:
    """It tells no voicing: all frames are voiced."""
    frame, hop = _frame_and_hop(sample_rate)
    hz = librosa.yin(wave, fmin=F0_HZ[0], fmax=F0_HZ[1], sr=sample_rate, frame_length=frame, hop_length=hop)
    return Pitch(hz, np.ones(len(hz), np.bool_))


def praat(wave: Wave, sample_rate: int) -> Pitch:
    sound = parselmouth.Sound(wave.astype(np.float64), sample_rate)
    found = sound.to_pitch_ac(time_step=HOP_S, pitch_floor=F0_HZ[0], pitch_ceiling=F0_HZ[1])
    frames = 1 + len(wave) // _frame_and_hop(sample_rate)[1]
    hz = np.nan_to_num(np.array([found.get_value_at_time(k * HOP_S) for k in range(frames)]))
    return Pitch(hz, hz > 0)


def ours(wave: Wave, sample_rate: int) -> Pitch:
    frame, hop = _frame_and_hop(sample_rate)
    hz = pitch_of(wave, sample_rate, frame, hop, F0_HZ)[0]
    return Pitch(hz.astype(np.float64), hz > 0)


def _frame_and_hop(sample_rate: int) -> tuple[int, int]:
    return round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
