"""Training state in one safetensors file, replaced whole: weights, optimizer, place in the epoch, best so far.

Nothing random is stored: every draw comes from a seed and the number of the step, so
the step is the whole state of chance. Nothing is unpickled.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from app.runtime.files import write_atomic


@dataclass
class Progress:
    step: int = 0  # optimizer steps done
    epoch: int = 0  # epochs done, validated and written to metrics.jsonl
    best_score: float = float("inf")  # on select, lower is better
    best_epoch: int = 0
    loss_sum: float = 0.0  # over the clips of the unfinished epoch
    seconds: float = 0.0


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, progress: Progress) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if optimizer:
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomic(path, save(contiguous, metadata={"progress": json.dumps(asdict(progress))}))


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Progress:
    """Fills model and optimizer; returns the progress. Raises FileNotFoundError, or ValueError where shapes differ."""
    tensors: dict[str, Tensor] = {}
    with safe_open(path, "pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
        for name in file.keys():  # noqa: SIM118 - not a dict
            tensors[name] = file.get_tensor(name)
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: not of this model: {error}") from None
    if optimizer:
        states: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                states.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return progress
