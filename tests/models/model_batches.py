"""Small models of the registry, and batches of features with plausible values."""

import torch

from app.config import Config, ExtractConfig, TrainConfig
from app.features.batches import Batch
from app.features.extract import channel_names
from app.models.registry import build

EXTRACT = ExtractConfig(mels=13, contrast_bands=2, texture_bands=3)
TRAIN = TrainConfig(cnn_channels=(4, 6, 8), rnn_hidden=8)
CHANNELS = channel_names(EXTRACT)
FRAMES = 61


def batch_of(clips: int, frames: int = FRAMES, seed: int = 0) -> Batch:
    """Full clips: mel around -30 dB, a voice here and there, levels around -30 dBFS."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=draw)

    ranges = {
        "f0_hz": (80.0, 400.0),
        "rms": (0.003, 0.2),
        "flux": (0.0, 1.0),
        "flatness": (1e-4, 1.0),
        "zcr": (0.0, 0.5),
    }
    rows = []
    for name in CHANNELS:
        low, high = ranges.get(name, (100.0, 6000.0) if name.endswith("_hz") else (0.0, 1.0))
        rows.append(uniform(low, high, clips, frames))
    rows[0] = rows[0] * (uniform(0, 1, clips, frames) > 0.5)  # 0 Hz: not voiced
    targets = (uniform(0, 1, clips, 2) > 0.5).float()
    mel = uniform(-60.0, 0.0, clips, EXTRACT.mels, frames)
    return Batch(mel, torch.stack(rows, 1), torch.full((clips,), frames), targets)


def with_garbage(batch: Batch, frames: torch.Tensor, seed: int = 9) -> Batch:
    """Clips cut to `frames`; what lies beyond is loud nonsense."""
    draw = torch.Generator().manual_seed(seed)
    beyond = (torch.arange(batch.mel.shape[-1]) >= frames[:, None])[:, None]
    mel = torch.where(beyond, 300 * torch.randn(batch.mel.shape, generator=draw), batch.mel)
    temporal = torch.where(beyond, 1e6 * torch.randn(batch.temporal.shape, generator=draw), batch.temporal)
    return Batch(mel, temporal, frames, batch.targets)


def clip_of(batch: Batch, clip: int) -> Batch:
    """One clip alone, cut to its own frames."""
    frames = int(batch.frames[clip])
    one = batch.part(clip, 1)
    return one._replace(mel=one.mel[..., :frames], temporal=one.temporal[..., :frames])


def model_of(name: str, seed: int = 0):
    """In eval mode, its inputs learned, every number of its output layer other than 0."""
    torch.manual_seed(seed)
    model = build(name, Config(extract=EXTRACT, train=TRAIN))
    seen = batch_of(32, seed=seed + 100)
    model.learn(lambda: [seen])
    if model.trains_in_closed_form:
        with torch.no_grad():
            model.fit(model.pooled(seen), seen.targets)
    return model.eval()
