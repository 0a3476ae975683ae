"""A small stage of features in which both labels can be heard, and trainings of a second on it."""

from pathlib import Path

import numpy as np
import torch

from app.config import TrainConfig
from app.features.store import Features
from app.learning.loop import Trainer
from app.models.crnn import Crnn
from app.models.pooled_logistic import PooledLogistic
from app.runtime.shards import commit

MELS, FRAMES, CHANNELS = 12, 32, ("f0_hz", "voicing", "rms")
SPLITS = {"train": 90, "select": 48, "calibrate": 30}  # 90 in batches of 16: the last one is short
CPU = torch.device("cpu")
ALL = float("inf")  # of a training's time may go into saves: it saves whenever one is due


def feature_stage(stage: Path, seed: int = 0) -> Path:
    """A fake voice is a bump in bands 2 and 3, a real one a bump in bands 8 and 9, each for a quarter of the frames."""
    rng = np.random.default_rng(seed)
    splits = rng.permutation([split for split, count in SPLITS.items() for _ in range(count)])
    for shard in range(4):
        own = splits[shard * 42 : (shard + 1) * 42]
        mel = rng.normal(-40, 5, (len(own), MELS, FRAMES)).astype(np.float16)
        temporal = rng.uniform(0.05, 0.1, (len(own), len(CHANNELS), FRAMES)).astype(np.float32)
        with commit(stage / "shards", f"{shard:05d}") as out:
            for n, split in enumerate(own):
                fake, real = (int(label) for label in rng.integers(0, 2, 2))
                at = rng.integers(0, FRAMES * 3 // 4)
                mel[n, 2:4, at : at + FRAMES // 4] += 15 * fake
                mel[n, 8:10, at : at + FRAMES // 4] += 15 * real
                known = {"recording": f"r{n // 2}", "split": str(split), "fake": fake, "real": real}
                out.done({"id": f"{shard}-{n}", **known})
            np.save(out.path / "mel.npy", mel)
            np.save(out.path / "temporal.npy", temporal)
            np.save(out.path / "frames.npy", rng.integers(FRAMES * 3 // 4, FRAMES + 1, len(own)).astype(np.int32))
    return stage


def small_crnn(seed: int = 0, dropout: float = 0.2) -> Crnn:
    torch.manual_seed(seed)
    return Crnn(MELS, CHANNELS, cnn_channels=(4, 8), rnn_hidden=8, dropout=dropout)


def small_logistic() -> PooledLogistic:
    torch.manual_seed(0)
    return PooledLogistic(MELS, CHANNELS)


def how(**keys) -> TrainConfig:
    return TrainConfig(**{"epochs": 3, "batch_clips": 16, "learning_rate": 0.01, "ema": 0.0, **keys})


def trainer(
    stage: Path, folder: Path, cfg: TrainConfig | None = None, kind: type[Trainer] = Trainer, **keys
) -> Trainer:
    """A trainer as a new process would make it: it goes on with what lies in `folder`.

    keys: dropout of the model; model, another one; those of the trainer.
    """
    folder.mkdir(exist_ok=True)
    parts = (Features(stage, (split,)) for split in ("train", "select"))
    model = keys.pop("model", None) or small_crnn(dropout=keys.pop("dropout", 0.2))
    return kind(folder, model, *parts, cfg or how(), 7, CPU, **{"save_share": ALL, **keys})


def silent(*_) -> None:
    """Tells nothing, and never stops."""
