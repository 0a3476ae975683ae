"""Training that can be cut at any step and goes on to the same weights.

Order of clips, dropout and masking are drawn from (seed, epoch) and (seed, step); the
rate is a function of the step. So a resumed training is the unbroken one.

Nothing waits for the GPU but looks at the loss, which is added up there: at saves, at the
ends of epochs, and each LOOK_STEPS.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.config import TrainConfig
from app.errors import Stopped, UserError
from app.features.at_once import AtOnce, clips_for, nobody
from app.features.batches import AnyBatch, Batch
from app.features.store import Stored
from app.learning.checkpoint import Progress
from app.learning.gradients import nothing
from app.learning.keeping import Keeping
from app.learning.learner import Learner
from app.learning.lost import leaving_a_lost_gpu
from app.learning.predict import logits_of
from app.learning.saves import SHARE
from app.learning.selection import select_metrics
from app.learning.stripes import draw_stripes, hide_stripes
from app.learning.supply import Supply
from app.learning.world import Alone, heard
from app.runtime.late_disk import LOOK_S, SEEN_S
from app.runtime.seeds import seed_of
from app.runtime.steps import step

if TYPE_CHECKING:  # rendering is for those who mix on the fly
    from app.learning.fresh import Fresh

WARM_UP = 0.1  # of all steps
LOOK_STEPS = 50  # on a GPU, between two looks whether the loss is still a number

Tell = Callable[[Progress, int, dict[str, Any] | None], None]  # after each step, and with metrics after each epoch


class Trainer:
    """One model's training in its folder.

    It goes on from last.safetensors, which holds all that counts. metrics.jsonl and, at the
    end, best.safetensors are written whole from what this process holds; timing.jsonl
    is information. So two trainers that meet in one folder, where its locks do not work,
    end in the same bytes as one alone, and the slower never undoes what the faster has saved.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        train: Stored[Any],
        select: Stored[Any],
        cfg: TrainConfig,
        seed: int,
        device: torch.device,
        say: Callable[[str], None] = nobody,
        saving: Callable[[], AbstractContextManager[None]] = nullcontext,
        world: Alone | None = None,
        save_share: float = SHARE,
        fresh: "Fresh | None" = None,
    ) -> None:
        """say: gets a line when the GPU's memory asks for smaller steps. saving: entered around each save.

        world: the processes that train this model together; each makes a trainer, and the first one saves.
        save_share: of the time, how much saves may take. fresh: renders other clips each epoch, in place of `train`.
        """
        self.cfg, self.seed, self.device = cfg, seed, device
        self.train, self.select, self.world = train, select, world or Alone()
        clips = clips_for(model, cfg.batch_clips, device)
        self.room = AtOnce(clips, f"a batch stays {cfg.batch_clips} clips, in parts: ", say)
        self.room_to_validate = AtOnce(clips, "validation: ", say)
        self.learner = Learner(model, cfg, device, self.world, self.room)
        self.keeping = self._agreed(lambda: Keeping(folder, self.learner, cfg, saving, save_share))
        dtype = self.learner.precision.weights
        self.supply = Supply(train, cfg.batch_clips, seed, device, dtype, self.world, say, fresh)
        self._loss_sum = torch.tensor(self.progress.loss_sum, dtype=torch.float64, device=device)

    def _agreed(self, keeping: Callable[[], Keeping]) -> Keeping:
        """With the same checkpoint in all processes: a network's disk may show one of them what was there before."""
        until = time.monotonic() + SEEN_S
        # one step may be saved twice, before the end of its epoch and after
        while not self.world.agree((found := keeping()).progress.step + found.progress.epoch):
            if self.world.any(time.monotonic() > until):
                where = f"step {found.progress.step}, epoch {found.progress.epoch}"
                raise RuntimeError(f"{found.last}: not the same for all processes, here of {where}")
            time.sleep(LOOK_S)
        return found

    @property
    def progress(self) -> Progress:
        return self.keeping.progress

    @property
    def finished(self) -> bool:
        done = self.progress
        return done.epoch >= self.cfg.epochs or done.epoch - done.best_epoch >= self.cfg.patience

    def run(self, stop: Callable[[], Any], tell: Tell, between: Callable[[], None] = lambda: None) -> None:
        """Trains to the end; then the model has its best weights, and so has best.safetensors.

        `between` is called after each step and each batch of validation: it may rest, or raise
        Stopped. When it does, when `stop()` turns true or the GPU is lost, saves and raises Stopped.
        `tell` may raise Stopped too; then nothing more is saved.
        """

        def heed() -> None:
            between()
            if reason := stop():
                raise Stopped(str(reason))

        with closing(self.supply), leaving_a_lost_gpu(rescue=self._rescue):
            if not self.progress.step:
                self._learn_inputs(heed)
            else:
                self.keeping.goes_on()
            self.learner.begins_alike()
            while not self.finished:
                self._train_epoch(heed, tell)
                with step("validate"):
                    metrics = self._end_epoch(heed)
                if self.finished or self.keeping.due(epoch_ends=True):
                    self.keeping.save()
                tell(self.progress, self.supply.steps, metrics)
            self.keeping.keep_best(self.supply.steps)

    def _learn_inputs(self, heed: Callable[[], None]) -> None:
        def batches() -> Iterator[AnyBatch]:
            for _, batch in self.train.batches(self.cfg.batch_clips):
                yield batch.to(self.device, self.learner.precision.weights)
                self._leave_if(heard(heed))

        with step("learn inputs"):
            self.learner.model.learn(batches)  # type: ignore[operator]
        self.learner.inputs_learnt()

    def _train_epoch(self, heed: Callable[[], None], tell: Tell) -> None:
        """The steps that the epoch still has; none, if only its validation is left."""
        first = self.progress.step - self.progress.epoch * self.supply.steps
        for batch, clips in self.supply.batches(self.progress.epoch, first):
            with step("step"):
                self._step(batch, clips, heed)
            tell(self.progress, self.supply.steps, None)
            if self.device.type == "cpu" or self.progress.step % LOOK_STEPS == 0:
                self._look()
            self._leave_if(heard(heed))
            if self.keeping.due():
                self._look()
                self.keeping.save()

    def _step(self, batch: AnyBatch, clips: int, heed: Callable[[], None]) -> None:
        done = self.progress.step
        if self.cfg.spec_augment and isinstance(batch, Batch):
            mels, frames = batch.mel.shape[1:]
            rng = np.random.default_rng(seed_of(self.seed, "stripes", done))
            stripes = self.world.share(draw_stripes(clips, mels, frames, rng))  # a clip's own, whoever has the clip
            batch = hide_stripes(batch, torch.from_numpy(stripes).to(self.device, non_blocking=True))
        rate = learning_rate(done, self.cfg.epochs * self.supply.steps, self.learner.peak_rate)
        seed = seed_of(self.seed, "step", done, *([self.world.rank] if self.world.rank else []))
        try:  # alone, it may leave between the parts of a step, which then was none
            between = heed if self.world.size == 1 else nothing
            loss = self.learner.step(batch, clips, done, rate, seed, between)
        except (Stopped, UserError):
            self._save_here()
            raise
        self._loss_sum += loss.double() * clips  # an epoch's last batch may be short
        self.progress.step += 1

    def _look(self) -> None:
        """Waits for the GPU; raises UserError where the training has diverged."""
        self.progress.loss_sum = float(self._loss_sum)
        self.keeping.check()

    def _end_epoch(self, heed: Callable[[], None]) -> dict[str, Any]:
        self._look()
        logits, progress = self._validate(heed), self.progress
        if not np.isfinite(logits).all():  # the loss tells of the weights before the last step
            raise self.keeping.diverged("its answers are no numbers")
        metrics = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / len(self.train),
            **select_metrics(logits, self.select),
        }
        if metrics["select_score"] < progress.best_score:
            weights = self.learner.validated.state_dict()
            self.keeping.best = {name: value.detach().cpu().clone() for name, value in weights.items()}
            progress.best_score, progress.best_epoch = metrics["select_score"], progress.epoch + 1
        progress.epoch, progress.loss_sum = progress.epoch + 1, 0.0
        self._loss_sum.zero_()
        progress.history.append(metrics)
        return metrics

    def _validate(self, heed: Callable[[], None]) -> NDArray[np.float64]:
        """(windows, 2) logits of *select*; each process computes its share of them."""
        left: list[Stopped | UserError] = []

        def between() -> None:
            left.extend(filter(None, [heard(heed)]))
            if left:
                raise left[0]

        found, mine = np.zeros((len(self.select), 2)), self.world.share(np.arange(len(self.select)))
        model, precision = self.learner.validated, self.learner.precision
        try:
            found[mine] = logits_of(model, self.select, self.room_to_validate, self.device, between, mine, precision)
        except (Stopped, UserError) as error:
            if error not in left:
                raise
        self._leave_if(left[0] if left else None)
        everybodys = torch.from_numpy(found).to(self.device)
        self.world.sum_(everybodys)
        return everybodys.cpu().numpy()

    def _leave_if(self, left: Stopped | UserError | None) -> None:
        """Saves and leaves where this process is told to, or one beside it."""
        try:
            self.world.leave_together(left)
        except (Stopped, UserError):
            self._save_here()
            raise

    def _save_here(self) -> None:
        self.progress.loss_sum = float(self._loss_sum)
        self.keeping.save()

    def _rescue(self) -> None:
        if self.learner.whole:  # else the weights may be halfway: the last checkpoint counts
            self._save_here()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rises in a line over the first tenth, then falls along a cosine to nearly 0."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * max(0.01, 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))
