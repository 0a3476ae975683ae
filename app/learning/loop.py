"""Training that can be cut at any step and goes on to the same weights.

Order of clips, dropout and masking are drawn from (seed, epoch) and (seed, step); the
rate is a function of the step. So a resumed training is the unbroken one.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from app.compat import is_out_of_memory
from app.config import TrainConfig
from app.errors import Stopped, UserError
from app.features.at_once import AtOnce, no_room, nobody
from app.features.store import Batch, Features
from app.learning.checkpoint import Progress, Weights, load_training, progress_in, save_checkpoint
from app.learning.gradients import loss_with_gradients
from app.learning.lost import leaving_a_lost_gpu
from app.learning.predict import logits_of, to_device
from app.learning.selection import select_metrics
from app.learning.stripes import hide_stripes
from app.learning.timing import Timing
from app.runtime.files import write_atomic
from app.runtime.seat import worked_s
from app.runtime.seeds import seed_of
from app.runtime.steps import step

WARM_UP = 0.1  # of all steps

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
        train: Features,
        select: Features,
        cfg: TrainConfig,
        seed: int,
        device: torch.device,
        say: Callable[[str], None] = nobody,
        saving: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """say: gets a line when the GPU's memory asks for smaller steps. saving: entered around each save."""
        self.folder, self.cfg, self.seed, self.device = folder, cfg, seed, device
        self.train, self.select, self.saving = train, select, saving
        self.steps = math.ceil(len(train) / cfg.batch_clips)  # in an epoch
        self.model = model.to(device)
        self.optimizer = torch.optim.AdamW(model.parameters(), cfg.learning_rate, weight_decay=cfg.weight_decay)
        self.last = folder / "last.safetensors"
        self.progress, self.best = Progress(), Weights()
        if self.last.exists():
            self.progress, self.best = load_training(self.last, model, self.optimizer)
        self.room = AtOnce(cfg.batch_clips, f"a batch stays {cfg.batch_clips} clips, in parts: ", say)
        self.room_to_validate = AtOnce(cfg.batch_clips, "validation: ", say)
        self._timing = Timing(folder, worked_s())
        self._saved = time.monotonic()
        self._between_steps = True

    @property
    def finished(self) -> bool:
        done = self.progress
        return done.epoch >= self.cfg.epochs or done.epoch - done.best_epoch >= self.cfg.patience

    def run(self, stop: Callable[[], Any], tell: Tell, between: Callable[[], None] = lambda: None) -> None:
        """Trains to the end; then the model has its best weights, and so has best.safetensors.

        `between` is called after each step and each batch of validation: it may rest, or raise
        Stopped. When it does, when `stop()` turns true or the GPU is lost, saves and raises Stopped.
        """

        def heed() -> None:
            try:
                between()
                if reason := stop():
                    raise Stopped(str(reason))
            except (Stopped, UserError):
                self._save()
                raise

        with leaving_a_lost_gpu(rescue=self._rescue):
            if not self.progress.step:
                self._learn_inputs(heed)
            elif not self.progress.behind(progress_in(self.last)):
                self._write_metrics()  # whoever was killed may have saved and not come to it
            while not self.finished:
                for batch in self._rest_of_epoch():
                    with step("step"):
                        self._step(batch)
                    tell(self.progress, self.steps, None)
                    heed()
                    if time.monotonic() - self._saved > self.cfg.checkpoint_minutes * 60:
                        self._save()
                with step("validate"):
                    metrics = self._end_epoch(heed)
                with step("save"):
                    self._save()
                tell(self.progress, self.steps, metrics)
            self._keep_best()

    def _learn_inputs(self, heed: Callable[[], None]) -> None:
        def batches() -> Iterator[Batch]:
            for _, batch in self.train.batches(self.cfg.batch_clips):
                yield to_device(batch, self.device)
                heed()

        with step("learn inputs"):
            self.model.inputs.learn(batches())  # type: ignore[union-attr, operator]

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """The batches still to do (none, if only the validation is), the next one read while this one is computed."""
        order = np.random.default_rng(seed_of(self.seed, "epoch", self.progress.epoch)).permutation(len(self.train))
        first = self.progress.step - self.progress.epoch * self.steps
        parts = [order[n * self.cfg.batch_clips : (n + 1) * self.cfg.batch_clips] for n in range(first, self.steps)]
        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(self.train.batch, part) for part in parts[:1]]
            for n in range(len(parts)):
                with step("wait for a batch"):
                    batch = ahead.pop().result()
                ahead += [reader.submit(self.train.batch, part) for part in parts[n + 1 : n + 2]]
                yield to_device(batch, self.device)

    def _step(self, batch: Batch) -> None:
        step = self.progress.step
        if self.cfg.spec_augment:
            batch = hide_stripes(batch, np.random.default_rng(seed_of(self.seed, "stripes", step)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.cfg.epochs * self.steps, self.cfg.learning_rate)
        seed = seed_of(self.seed, "step", step)
        loss = loss_with_gradients(self.model, batch, self.room, seed, self.cfg.clip_norm)
        if not math.isfinite(loss):
            raise UserError(
                f"{self.folder}: the training diverged, its loss is {loss} at step {step}",
                "lower train.learning_rate, then train again",
            )
        self._between_steps = False
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if is_out_of_memory(error):  # half a step cannot be taken back: the last checkpoint counts
                raise no_room("the optimizer") from None
            raise
        self.progress.step += 1
        self.progress.loss_sum += loss * len(batch.targets)  # an epoch's last batch may be short
        self._between_steps = True

    def _end_epoch(self, heed: Callable[[], None]) -> dict[str, Any]:
        progress = self.progress
        logits = logits_of(self.model, self.select, self.room_to_validate, self.device, between=heed)
        metrics = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / len(self.train),
            **select_metrics(logits, self.select),
        }
        if metrics["select_score"] < progress.best_score:
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            progress.best_score, progress.best_epoch = metrics["select_score"], progress.epoch + 1
        progress.epoch, progress.loss_sum = progress.epoch + 1, 0.0
        progress.history.append(metrics)
        return metrics

    def _save(self) -> None:
        """Leaves the training on disk, unless another process has come further in this folder."""
        if not self.progress.step:
            return
        with self.saving():
            if not self.progress.behind(progress_in(self.last)):
                save_checkpoint(self.last, self.model, self.optimizer, self.progress, self.best)
                self._write_metrics()
            self._saved = time.monotonic()
            self._timing.note(self.progress.epoch, self.progress.step, worked_s())

    def _rescue(self) -> None:
        if self._between_steps:  # else the weights may be halfway: the last checkpoint counts
            self._save()

    def _write_metrics(self) -> None:
        text = "".join(f"{json.dumps(metrics)}\n" for metrics in self.progress.history)
        path = self.folder / "metrics.jsonl"
        if text != (path.read_text(encoding="utf-8") if path.exists() else ""):
            write_atomic(path, text)

    def _keep_best(self) -> None:
        done, epoch = self.progress, self.progress.best_epoch
        if not self.best:
            raise UserError(f"{self.folder}: no epoch had a score", "lower train.learning_rate, then train again")
        self.model.load_state_dict(self.best)
        then = Progress(epoch * self.steps, epoch, done.best_score, epoch, history=done.history[:epoch])
        with self.saving():
            save_checkpoint(self.folder / "best.safetensors", self.model, None, then)
            self._write_metrics()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rises in a line over the first tenth, then falls along a cosine to nearly 0."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * max(0.01, 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))
