"""One training, as the job itself and each process of its crew set it up."""

from pathlib import Path
from typing import Any

from app.config import Config
from app.config.ladder import LADDER
from app.runtime.machine import usable_cores


def trainer_of(config: Config, name: str, extracted: Path, folder: Path, device: Any, **keys: Any) -> Any:
    """A Trainer of the model `name` on the stage `extracted`, which goes on with what lies in `folder`.

    keys: those of the Trainer.
    """
    import torch

    from app.features.store import STORES
    from app.learning.loop import Trainer
    from app.models.registry import build

    torch.manual_seed(config.seed)
    model = build(name, config)
    train, select = (STORES[LADDER[name].reads](extracted, (split,)) for split in ("train", "select"))
    return Trainer(folder, model, train, select, config.train, config.seed, device, **keys)


def processes_for(config: Config, gpus: int) -> int:
    """One for each GPU that was taken; without any, as many as the config wants on the CPU, and there are cores for."""
    return gpus or min(config.runtime.processes, usable_cores())
