"""The files of a training: last.safetensors with all that counts, metrics.jsonl, and at the end best.safetensors."""

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from app.config import TrainConfig
from app.errors import Diverged
from app.learning.checkpoint import Progress, Weights, load_training, progress_in, save_checkpoint
from app.learning.learner import Learner
from app.learning.saves import Saves
from app.learning.timing import Timing
from app.runtime.files import write_atomic
from app.runtime.seat import worked_s
from app.runtime.steps import step

LOWER = "lower train.learning_rate, then train again"


class Keeping:
    """What this process holds is written whole, unless another one has come further in the same folder."""

    def __init__(
        self,
        folder: Path,
        learner: Learner,
        cfg: TrainConfig,
        saving: Callable[[], AbstractContextManager[None]],
        share: float,
    ) -> None:
        """Fills the learner with what lies there. saving: entered around each save; share: of the time, that they get.

        Of several processes only the first one writes.
        """
        self.folder, self.learner, self._saving = folder, learner, saving
        self.last = folder / "last.safetensors"
        self.progress, self.best = Progress(), Weights()
        if self.last.exists():
            self.progress, self.best = load_training(self.last, learner.model, learner.optimizer, learner.average)
            learner.precision.load(self.progress.scale)
        self._writes = learner.world.rank == 0
        self._timing = Timing(folder, worked_s())
        self._saves = Saves(cfg.checkpoint_minutes, cfg.checkpoint_steps, worked_s, share)

    def goes_on(self) -> None:
        """Whoever was killed may have saved and not come to the metrics."""
        if self._writes and not self.progress.behind(progress_in(self.last)):
            self._write_metrics()

    def due(self, epoch_ends: bool = False) -> bool:
        return self._saves.due(self.progress.step, epoch_ends)

    def save(self) -> None:
        """Leaves the training on disk. Raises Diverged, before it does, where it has."""
        self.check()
        if not self.progress.step or not self._writes:
            return
        self.progress.scale = self.learner.precision.state()
        with step("save"), self._saving(), self._saves.counted(self.progress.step):
            if not self.progress.behind(progress_in(self.last)):
                learner = self.learner
                save_checkpoint(self.last, learner.model, learner.optimizer, self.progress, self.best, learner.average)
                self._write_metrics()
            self._timing.note(self.progress.epoch, self.progress.step, worked_s())

    def check(self) -> None:
        """Raises Diverged where the loss is no number any more."""
        if not math.isfinite(self.progress.loss_sum):
            raise self.diverged(f"its loss is {self.progress.loss_sum}")

    def diverged(self, how: str) -> Diverged:
        return Diverged(f"{self.folder}: the training diverged, {how} at step {self.progress.step}", LOWER)

    def keep_best(self, steps: int) -> None:
        """The model gets its best weights, and so does best.safetensors. steps: in an epoch."""
        done, epoch = self.progress, self.progress.best_epoch
        if not self.best:
            raise Diverged(f"{self.folder}: no epoch had a score", LOWER)
        self.learner.model.load_state_dict(self.best)
        then = Progress(epoch * steps, epoch, done.best_score, epoch, history=done.history[:epoch])
        if self._writes:
            with self._saving():
                save_checkpoint(self.folder / "best.safetensors", self.learner.model, None, then)
                self._write_metrics()

    def _write_metrics(self) -> None:
        text = "".join(f"{json.dumps(metrics)}\n" for metrics in self.progress.history)
        path = self.folder / "metrics.jsonl"
        if text != (path.read_text(encoding="utf-8") if path.exists() else ""):
            write_atomic(path, text)
