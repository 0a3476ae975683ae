"""Stripes of the mel map hidden from a model, so that it looks everywhere (SpecAugment, Park et al. 2019)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.features.batches import Batch

HIDDEN_FRAMES, HIDDEN_MELS, STRIPES = 40, 10, 2  # at most so wide, so many of each


def draw_stripes(clips: int, mels: int, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(clips, STRIPES, 4): width in frames, height in bands, first frame, lowest band. Each clip has its own."""
    return rng.integers(0, (HIDDEN_FRAMES + 1, HIDDEN_MELS + 1, frames, mels), (clips, STRIPES, 4))


def hide_stripes(batch: Batch, stripes: Tensor) -> Batch:
    """They get their clip's mean over its sound. stripes: (clips, STRIPES, 4) of draw_stripes, where the batch lies."""
    mel, (mels, frames) = batch.mel, batch.mel.shape[1:]
    width, height, at, low = stripes[..., None].unbind(2)
    frame, band = torch.arange(frames, device=mel.device), torch.arange(mels, device=mel.device)
    times = ((frame >= at) & (frame < at + width)).any(1)  # (clips, frames)
    bands = ((band >= low) & (band < low + height)).any(1)
    sound = (frame < batch.frames[:, None])[:, None]
    mean: Tensor = (mel * sound).sum((1, 2), keepdim=True) / (sound.sum((1, 2), keepdim=True) * mels).clamp_min(1)
    return batch._replace(mel=torch.where(times[:, None] | bands[:, :, None], mean, mel))
