"""The default network on features that lie ready: many windows at once, as infer does it, and one by one."""

from collections.abc import Callable

import numpy as np
import torch

from app.config import Config, ExtractConfig
from app.features.batches import Batch
from app.features.frames import num_frames
from app.features.on_cpu import features_of
from app.models.registry import build
from bench.sounds import Wave

AT_ONCE = 64  # infer.batch_clips


def answering(clips: list[Wave], rate: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """(one by one, AT_ONCE together): each scores AT_ONCE windows with a crnn of random weights."""
    config = Config(sample_rate=rate, extract=ExtractConfig(mel_hz=(40.0, 7600.0 if rate == 16000 else 14000.0)))
    found = [features_of(clips[number % len(clips)], rate, config.extract) for number in range(AT_ONCE)]
    mel, temporal = (torch.from_numpy(np.stack(each)) for each in zip(*found, strict=True))
    frames = torch.full((AT_ONCE,), num_frames(len(clips[0]), rate, config.extract))
    targets = torch.full((AT_ONCE, 2), torch.nan)
    torch.manual_seed(0)
    network = build("crnn", config).eval()

    def score(size: int) -> None:
        with torch.no_grad():
            for start in range(0, AT_ONCE, size):
                part = slice(start, start + size)
                network(Batch(mel[part], temporal[part], frames[part], targets[part]))

    return lambda: score(1), lambda: score(AT_ONCE)
