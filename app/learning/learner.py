"""What a step changes: weights, the optimizer's moments, their running average, the scale of float16's losses."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.compat import adamw, compile_in_place, is_out_of_memory
from app.config import TrainConfig
from app.features.at_once import AtOnce, no_room
from app.features.batches import AnyBatch
from app.learning.gradients import loss_with_gradients, nothing
from app.learning.precision import Precision
from app.learning.world import Alone


class Learner:
    """All of it goes into a checkpoint; what is drawn comes from the seed that each step is given."""

    def __init__(self, model: nn.Module, cfg: TrainConfig, device: torch.device, world: Alone, room: AtOnce) -> None:
        self.cfg, self.world, self.room = cfg, world, room
        self.precision = Precision(cfg.precision, device)
        self.model = model.to(device, self.precision.weights)
        if device.type == "cuda":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.peak_rate = float(cfg.learning_rate or model.learning_rate)  # type: ignore[arg-type]
        self.optimizer = adamw(self.model.parameters(), self.peak_rate, cfg.weight_decay)
        self.average = copy.deepcopy(self.model).eval() if cfg.ema else None
        self.whole = True  # no optimizer's step is under way
        if cfg.compile:
            compile_in_place(self.model)

    @property
    def validated(self) -> nn.Module:
        """The model whose answers count: the average of the weights, where one is kept."""
        return self.model if self.average is None else self.average

    def inputs_learnt(self) -> None:
        """The average takes over what is not learnt by steps."""
        if self.average is not None:
            self.average.load_state_dict(self.model.state_dict())

    def begins_alike(self) -> None:
        """All processes with the first one's numbers: GPUs of two kinds add up the inputs differently."""
        for model in filter(None, (self.model, self.average)):
            self.world.from_first(model.state_dict().values())

    def step(
        self,
        batch: AnyBatch,
        clips: int,
        step: int,
        rate: float,
        seed: int,
        between: Callable[[], None] = nothing,
    ) -> Tensor:
        """One step on this process' part of `clips` clips; returns their mean loss, which is not waited for.

        between: called between the parts of a batch, if it is computed in parts; it may raise to leave, and nothing is
        learnt.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = loss_with_gradients(self.model, batch, self.room, seed, self.precision, self.world, clips, between)
        self.precision.unscale(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.clip_norm)
        self.whole = False
        try:
            self.precision.step(self.optimizer)
        except RuntimeError as error:
            if is_out_of_memory(error):  # half a step cannot be taken back: the last checkpoint counts
                raise no_room("the optimizer") from None
            raise
        self._follow(step)
        self.whole = True
        return loss

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """The average; of few steps it is one over some of them, so that the first, wild ones are soon forgotten."""
        if self.average is not None:
            keep = min(self.cfg.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
