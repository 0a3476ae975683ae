"""All features of a batch of clips from one spectrogram."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.config import ExtractConfig
from app.features import temporal
from app.features.contrast import contrast
from app.features.frames import channel_names as channel_names  # they go by this name with `compute`
from app.features.frames import frame_and_hop as frame_and_hop
from app.features.frames import num_frames as num_frames
from app.features.mel import log_mel, mel_filters, power_stft
from app.features.on_cpu import features_of
from app.features.pitch import pitch
from app.features.spectral_plan import LOUDEST
from app.features.texture import texture
from app.features.texture_plan import texture_plan


class Features(NamedTuple):
    mel: Tensor  # (clips, mels, frames) float32, dB
    temporal: Tensor  # (clips, channels, frames) float32, each in its natural unit, in the order of channel_names


@torch.no_grad()
def compute(waveforms: Tensor, sample_rate: int, cfg: ExtractConfig) -> Features:
    """Log-mel and temporal features of each clip, on the device the clips are on.

    waveforms: (clips, time) float32, full scale 1, time >= 1; shorter than a frame is fine.
    Finite for finite clips; a clip's features depend on no other clip of the batch.
    Raises ValueError if waveforms is not (clips, time) or empty.
    """
    if waveforms.ndim != 2 or waveforms.numel() == 0:
        raise ValueError(f"waveforms of shape {tuple(waveforms.shape)}: (clips, time) is needed, neither of them 0")
    if waveforms.device.type == "cpu":
        clips = [features_of(clip, sample_rate, cfg) for clip in waveforms.to(torch.float32).numpy()]
        return Features(*(torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True)))
    return by_tensors(waveforms, sample_rate, cfg)


def by_tensors(waveforms: Tensor, sample_rate: int, cfg: ExtractConfig) -> Features:
    """What `compute` does on a GPU, for all clips at once; it works anywhere."""
    waveforms = waveforms.to(torch.float32).clamp(-LOUDEST, LOUDEST)
    frame, hop = frame_and_hop(sample_rate, cfg)
    bin_hz = sample_rate / frame
    power = power_stft(waveforms, frame, hop)
    magnitude = power.sqrt()
    filters = mel_filters(sample_rate, frame, cfg.mels, cfg.mel_hz).to(waveforms.device)
    f0_hz, voicing = pitch(waveforms, sample_rate, frame, hop, cfg.f0_hz, power)
    centre_hz = temporal.centroid_hz(magnitude, bin_hz)
    rows = [
        f0_hz,
        voicing,
        temporal.rolloff_hz(magnitude, bin_hz, cfg.roll_off),
        centre_hz,
        temporal.bandwidth_hz(magnitude, bin_hz, centre_hz),
        temporal.flatness(power),
        temporal.flux(magnitude, reach=round(frame / hop / 2)),
        temporal.zero_crossing_rate(waveforms, frame, hop),
        temporal.rms(waveforms, frame, hop),
    ]
    bands = contrast(magnitude, bin_hz, cfg.contrast_bands)
    frames = power.shape[-1]
    fine = texture(waveforms, hop, frames, texture_plan(sample_rate, hop, frames, cfg.texture_bands, cfg.texture_hz))
    return Features(log_mel(power, filters), torch.cat([torch.stack(rows, -2), bands, fine], -2))
