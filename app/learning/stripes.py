"""Stripes of the mel map hidden from a model, so that it looks everywhere."""

import numpy as np
import torch
from torch import Tensor

from app.features.store import Batch

HIDDEN_FRAMES, HIDDEN_MELS, STRIPES = 40, 10, 2  # at most so wide, so many of each


def hide_stripes(batch: Batch, rng: np.random.Generator) -> Batch:
    """SpecAugment (Park et al. 2019): stripes of time and of mel bands get the clip's mean over its sound frames.

    Each clip has a draw of its own.
    """
    mel, (clips, mels, frames) = batch.mel, batch.mel.shape
    hidden = torch.zeros((clips, mels, frames), dtype=torch.bool)
    for clip in range(clips):
        for _ in range(STRIPES):
            width, height = rng.integers(0, HIDDEN_FRAMES + 1), rng.integers(0, HIDDEN_MELS + 1)
            at, low = rng.integers(0, frames), rng.integers(0, mels)
            hidden[clip, :, at : at + width] = True
            hidden[clip, low : low + height] = True
    sound = (torch.arange(frames, device=mel.device) < batch.frames[:, None])[:, None]
    mean: Tensor = (mel * sound).sum((1, 2), keepdim=True) / (sound.sum((1, 2), keepdim=True) * mels).clamp_min(1)
    return batch._replace(mel=torch.where(hidden.to(mel.device), mean, mel))
