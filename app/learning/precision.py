"""In which numbers a model computes: float32, half of it under autocast, or float64 to compare by."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from app.compat import autocast, grad_scaler, has_bfloat16
from app.errors import UserError


class Precision:
    """auto: bfloat16 on a GPU that has it, else float32. float16 scales its losses, which bfloat16 need not."""

    def __init__(self, asked: str, device: torch.device) -> None:
        """asked: auto, float32, bfloat16, float16 or float64. Raises UserError where this device or torch has none."""
        self.device = device
        self.name = asked if asked != "auto" else "bfloat16" if has_bfloat16(device) else "float32"
        self.weights = torch.float64 if asked == "float64" else torch.float32
        self._scaler = grad_scaler(device) if self.name == "float16" else None
        if self.name == "float16" and self._scaler is None:
            raise UserError("train.precision: float16 needs a GPU with this torch", "train.precision: float32")

    def autocast(self) -> AbstractContextManager[Any]:
        """Around a model's forward pass."""
        half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.name)
        return autocast(self.device, half) if half else nullcontext()

    def scaled(self, loss: Tensor) -> Tensor:
        scaled: Tensor = self._scaler.scale(loss) if self._scaler else loss
        return scaled

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Before gradients are looked at."""
        if self._scaler:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step; none where float16 overflowed, and the next loss is scaled by less."""
        if self._scaler:
            self._scaler.step(optimizer)
            self._scaler.update()
        else:
            optimizer.step()

    def state(self) -> dict[str, Any]:
        return self._scaler.state_dict() if self._scaler else {}

    def load(self, state: dict[str, Any]) -> None:
        if self._scaler and state:
            self._scaler.load_state_dict(state)
