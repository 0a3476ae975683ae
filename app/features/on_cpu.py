"""All features of a clip on a CPU: transforms of torch, and between them compiled loops over frames in the cache."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.config import ExtractConfig
from app.features.frames import channel_names, frame_and_hop
from app.features.mel import FLOOR
from app.features.pitch_loops import banded_power, pitch_plan, pitch_rows
from app.features.spectral_loops import spectral_plan, spectral_rows
from app.features.wave_loops import wave_rows


def features_of(waveform: Tensor, sample_rate: int, cfg: ExtractConfig) -> tuple[Tensor, Tensor]:
    """(mel (mels, frames), temporal (channels, frames)) of one clip, (time,) float32, as `extract.compute` says."""
    frame, hop = frame_and_hop(sample_rate, cfg)
    plan = spectral_plan(sample_rate, frame, cfg.mels, cfg.mel_hz, cfg.contrast_bands, cfg.roll_off)
    voices = pitch_plan(sample_rate, frame, hop, cfg.f0_hz)
    spectra = _spectra(waveform, frame, hop)
    frames = len(spectra)
    mel, rows = np.empty((cfg.mels, frames), np.float32), np.empty((len(channel_names(cfg)), frames), np.float32)
    spectral = np.empty((5 + cfg.contrast_bands + 1, frames), np.float32)
    banded, whole = np.empty((frames, len(voices.band)), np.float32), np.empty(frames, np.float32)
    moves = np.empty(frames, np.bool_)
    spectral_rows(spectra, plan, voices.band, round(frame / hop / 2), banded, whole, mel, spectral)
    wave_rows(waveform.numpy(), frame, hop, rows[7:9], moves)
    pitch_rows(_correlation(banded, voices.size), whole, moves, voices, rows[:2])
    rows[2:7], rows[9:] = spectral[:5], spectral[5:]
    return torch.from_numpy(mel).clamp_min_(FLOOR).log10_().mul_(10), torch.from_numpy(rows)


def pitch_of(
    waveform: Tensor, sample_rate: int, frame: int, hop: int, f0_hz: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """F0 and voicing of one clip, (time,) float32, alone: as `pitch.pitch`, each (frames,)."""
    plan, spectra = pitch_plan(sample_rate, frame, hop, f0_hz), _spectra(waveform, frame, hop)
    frames = len(spectra)
    banded, whole = np.empty((frames, len(plan.band)), np.float32), np.empty(frames, np.float32)
    rows, moves = np.empty((4, frames), np.float32), np.empty(frames, np.bool_)
    banded_power(spectra, plan.band, banded, whole)
    wave_rows(waveform.numpy(), frame, hop, rows[2:], moves)
    pitch_rows(_correlation(banded, plan.size), whole, moves, plan, rows[:2])
    return torch.from_numpy(rows[0]), torch.from_numpy(rows[1])


def _correlation(banded: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = torch.fft.irfft(torch.from_numpy(banded), n=size).numpy()
    return found


def _spectra(waveform: Tensor, frame: int, hop: int) -> NDArray[np.complex64]:
    """(frames, bins) complex64: what `mel.power_stft` takes the power of."""
    padded = torch.nn.functional.pad(waveform, (frame // 2, frame - frame // 2))
    found: NDArray[np.complex64] = torch.fft.rfft(padded.unfold(-1, frame, hop) * _window(frame)).numpy()
    return found


@lru_cache(maxsize=4)
def _window(frame: int) -> Tensor:
    return torch.hann_window(frame, periodic=True, dtype=torch.float32)
