"""How long a model would take to train: a few steps on made-up clips, for what they hold does not change their time."""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from app.config import Config
from app.features.at_once import AtOnce
from app.features.batches import AnyBatch, Batch, Waves
from app.features.frames import channel_names, num_frames
from app.learning.learner import Learner
from app.learning.world import Alone
from app.runtime.seat import worked_s

STEPS = 3  # of which the first one, that warms up, does not count
FEW_CLIPS = 4  # of a batch, on a CPU, where time goes with the clips
FITTED = 256  # clips, of a fit


def step_seconds(model: nn.Module, config: Config, device: torch.device, reads: str) -> float:
    """Of a step with train.batch_clips clips: the median of two. Changes the model. reads: "extract" or "waves"."""
    clips = config.train.batch_clips if device.type == "cuda" else min(FEW_CLIPS, config.train.batch_clips)
    learner = Learner(model, config.train, device, Alone(), AtOnce(clips))
    batch = made_up(config, clips, reads).to(device, learner.precision.weights)
    took = []
    for number in range(STEPS):
        began = worked_s()
        float(learner.step(batch, clips, number, 1e-6, number))  # waits for a GPU
        took.append(worked_s() - began)
    return statistics.median(took[1:]) * config.train.batch_clips / clips


def fit_seconds(model: Any, config: Config, reads: str) -> float:
    """Of pooling and fitting train_clips clips, from few, as it goes with them. Changes the model."""
    batch, began = made_up(config, FITTED, reads), worked_s()
    model.learn(lambda: [batch])
    with torch.no_grad():
        pooled = model.eval().pooled(batch)
    model.fit(pooled, batch.targets)
    return (worked_s() - began) * config.mix.train_clips / FITTED


def clip_seconds(rendering: Any, recipes: Sequence[Any]) -> float:
    """Of rendering a clip, with what is computed of it, on one core: the mean of these, but for the first."""
    took = []
    for recipe in recipes:
        began = worked_s()
        rendering[recipe]
        took.append(worked_s() - began)
    return statistics.fmean(took[1:])


def made_up(config: Config, clips: int, reads: str) -> AnyBatch:
    """Noise, in the shape of what a model reads."""
    draw = torch.Generator().manual_seed(0)
    samples = round(config.mix.window_s * config.sample_rate)
    targets = (torch.rand(clips, 2, generator=draw) > 0.5).float()
    if reads == "waves":
        wave = 0.1 * torch.randn(clips, samples, generator=draw)
        return Waves(wave, torch.full((clips,), samples), targets, padded=False)
    frames = num_frames(samples, config.sample_rate, config.extract)
    mel = -60 * torch.rand(clips, config.extract.mels, frames, generator=draw)
    temporal = torch.rand(clips, len(channel_names(config.extract)), frames, generator=draw)
    return Batch(mel, temporal, torch.full((clips,), frames), targets, padded=False)
