"""Training state in one safetensors file, replaced whole: weights, their average, optimizer, best weights, progress.

Nothing random is stored: every draw comes from a seed and the number of the step, and so
does the learning rate: the step is the whole state of chance, of the schedule and of the
place in an epoch. No times are stored: the same training is the same bytes. Nothing is unpickled.
"""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from app.errors import UserError
from app.runtime.files import write_atomic

Weights = dict[str, Tensor]


@dataclass
class Progress:
    step: int = 0  # optimizer steps done
    epoch: int = 0  # epochs done and validated
    best_score: float = float("inf")  # on select, lower is better
    best_epoch: int = 0
    loss_sum: float = 0.0  # over the clips of the unfinished epoch
    scale: dict[str, Any] = field(default_factory=dict)  # of float16's losses
    history: list[dict[str, Any]] = field(default_factory=list)  # metrics of each epoch done

    def behind(self, other: "Progress | None") -> bool:
        return other is not None and (self.step, self.epoch) < (other.step, other.epoch)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: Progress,
    best: Weights | None = None,
    average: nn.Module | None = None,
) -> None:
    """best: the best weights so far; average: of the weights. Where they are to be kept beside the model's own."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    tensors |= {f"average.{name}": value for name, value in (average.state_dict() if average else {}).items()}
    if optimizer:
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # one line of metadata: safetensors writes several in any order
    write_atomic(path, save(contiguous, metadata={"progress": json.dumps(asdict(progress))}))


def load_checkpoint(path: Path, model: nn.Module) -> Progress:
    """Fills the model. Raises FileNotFoundError, or UserError where the file is damaged or of another model."""
    progress, tensors = _read(path)
    _fill(path, model, tensors)
    return progress


def load_training(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> tuple[Progress, Weights]:
    """Fills model, optimizer and average, for the training to go on; returns progress and best weights so far.

    Raises as load_checkpoint does.
    """
    progress, tensors = _read(path)
    states: dict[int, dict[str, Tensor]] = {}
    try:
        for name, value in _part(tensors, "optimizer.").items():
            number, key = name.split(".")
            states.setdefault(int(number), {})[key] = value
    except ValueError as error:
        raise _no_use(path, f"not a training of ours ({error})") from None
    best = _part(tensors, "best.")
    lacks = [
        what
        for what, there in (
            ("the optimizer's state", states or not progress.step),
            ("the metrics of its epochs", len(progress.history) == progress.epoch),
            ("its best weights", best or not progress.best_epoch),
        )
        if not there
    ]
    if lacks:
        raise _no_use(path, f"a training cannot go on from it, it lacks {lacks[0]}")
    _fill(path, model, tensors)
    if average is not None:
        _fill(path, average, tensors, "average.")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    _lay_out(optimizer)
    return progress, best


def progress_in(path: Path) -> Progress | None:
    """How far the training in this file had come; None where there is none that can be read."""
    try:
        return _read(path, tensors=False)[0]
    except (FileNotFoundError, UserError):
        return None


def _read(path: Path, tensors: bool = True) -> tuple[Progress, Weights]:
    """All of one file, which another process may replace at any time: it is opened once (safe_open does so twice)."""
    try:
        with path.open("rb") as file:
            size = file.read(8)
            head = file.read(min(int.from_bytes(size, "little"), os.fstat(file.fileno()).st_size))
            known = json.loads(json.loads(head)["__metadata__"]["progress"])
            progress = Progress(**{f.name: known[f.name] for f in fields(Progress) if f.name in known})
            return progress, load(size + head + file.read()) if tensors else {}
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise _no_use(path, f"damaged, or no checkpoint of ours ({error})") from None


def _part(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fill(path: Path, model: nn.Module, tensors: Weights, prefix: str = "model.") -> None:
    try:
        model.load_state_dict(_part(tensors, prefix))
    except RuntimeError as error:
        raise _no_use(path, f"not of this model: {error}") from None


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Moments as their parameters lie in memory (channels last): one kernel for all wants them alike."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if name != "step" and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _no_use(path: Path, why: str) -> UserError:
    anew = "it begins anew" if path.name.startswith("last") else "it is written again"
    return UserError(f"{path}: {why}", f"delete {path.name}, or put back a copy of it, then `make train`: {anew}")
