"""The spatial features: power spectrogram and log-mel, equal to librosa's within float32."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FLOOR = 1e-10  # least power of a mel band: -100 dB


def log_mel(power: Tensor, filters: Tensor) -> Tensor:
    """Mel spectrogram in dB re power 1, with a floor at -100 dB and no ceiling below the peak (no top_db).

    power: (..., bins, frames) from `power_stft`; filters: (mels, bins) from `mel_filters`.
    Returns (..., mels, frames). Each frame depends on itself alone, never on the loudest frame of its clip.
    """
    return 10 * (filters @ power).clamp_min(FLOOR).log10()


def power_stft(waveform: Tensor, frame: int, hop: int) -> Tensor:
    """|STFT|^2 with a periodic Hann window, as abs(librosa.stft(y, n_fft=frame, hop_length=hop))**2.

    waveform: (..., time), float. Returns (..., bins, frames): bins = frame // 2 + 1, frames = 1 + time // hop.
    Frame k is centred on sample k * hop; zeros stand before and after the clip, so any time, 0 too, will do.
    Its memory lies frame after frame: reductions over the bins are the quick ones.
    """
    padded = torch.nn.functional.pad(waveform, (frame // 2, frame - frame // 2))
    window = torch.hann_window(frame, periodic=True, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.fft.rfft(padded.unfold(-1, frame, hop) * window)
    power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return power.transpose(-1, -2)


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, frame: int, mels: int, mel_hz: tuple[float, float]) -> Tensor:
    """Triangles on Slaney's mel scale, each of equal area, as librosa.filters.mel. Returns (mels, bins), float32.

    mel_hz: lowest and highest edge, in Hz. Raises ValueError if a triangle lies between two bins, where it
    would see nothing: ask for fewer mels or a longer frame.
    Source: M. Slaney, Auditory Toolbox, Interval Research 1998-010.
    """
    low, high = _mel(np.asarray(mel_hz, dtype=np.float64))
    edges = _hertz(np.linspace(low, high, mels + 2))[:, None]
    bins = np.fft.rfftfreq(frame, 1 / sample_rate)[None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    if not weights.any(axis=1).all():
        raise ValueError(f"{mels} mels from {mel_hz[0]:g} to {mel_hz[1]:g} Hz are too narrow for a frame of {frame}")
    return torch.from_numpy(weights.astype(np.float32))


# Slaney's scale: 15 mels up to 1 kHz, linear; above, 27 mels for each factor of 6.4
_LINEAR_HZ, _KNEE_HZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _KNEE_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, above)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, knee) - knee)))
