"""The spatial features: power spectrogram and log-mel, equal to librosa's within float32."""

import torch
from torch import Tensor

from app.features.spectral_plan import MEL_FLOOR, mel_weights


def log_mel(power: Tensor, filters: Tensor) -> Tensor:
    """Mel spectrogram in dB re power 1, with a floor at -100 dB and no ceiling below the peak (no top_db).

    power: (..., bins, frames) from `power_stft`; filters: (mels, bins) from `mel_filters`.
    Returns (..., mels, frames). Each frame depends on itself alone, never on the loudest frame of its clip.
    """
    return 10 * (filters @ power).clamp_min(MEL_FLOOR).log10()


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


def mel_filters(sample_rate: int, frame: int, mels: int, mel_hz: tuple[float, float]) -> Tensor:
    """`mel_weights` as a tensor, (mels, bins)."""
    return torch.from_numpy(mel_weights(sample_rate, frame, mels, mel_hz))
