"""Training that can be cut at any step and goes on to the same weights.

Order of clips, dropout and masking are drawn from (seed, epoch) and (seed, step); the
rate is a function of the step. So a resumed training is the unbroken one.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from app.config import TrainConfig
from app.errors import Stopped, UserError
from app.features.store import Batch, Features
from app.learning.checkpoint import Progress, load_checkpoint, save_checkpoint
from app.learning.predict import logits_of, to_device
from app.runtime.files import sync, write_atomic
from app.runtime.seeds import seed_of
from app.scoring.metrics import official_score

WARM_UP = 0.1  # of all steps
HIDDEN_FRAMES, HIDDEN_MELS, STRIPES = 40, 10, 2  # SpecAugment: at most so wide, so many of each

Tell = Callable[[Progress, int, dict[str, Any] | None], None]  # after each step, and with metrics after each epoch


class Trainer:
    """One model's training in its folder: last.safetensors, best.safetensors, metrics.jsonl, timing.jsonl."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        train: Features,
        select: Features,
        cfg: TrainConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.folder, self.cfg, self.seed, self.device = folder, cfg, seed, device
        self.train, self.select = train, select
        self.steps = math.ceil(len(train) / cfg.batch_clips)  # in an epoch
        self.model = model.to(device)
        self.optimizer = torch.optim.AdamW(model.parameters(), cfg.learning_rate, weight_decay=cfg.weight_decay)
        self.last = folder / "last.safetensors"
        self.progress = load_checkpoint(self.last, model, self.optimizer) if self.last.exists() else self._begin()
        self._cut_back("metrics.jsonl")
        self._cut_back("timing.jsonl")
        self._since = self._saved = time.monotonic()

    @property
    def finished(self) -> bool:
        done = self.progress
        return done.epoch >= self.cfg.epochs or done.epoch - done.best_epoch >= self.cfg.patience

    def run(self, stop: Callable[[], Any], tell: Tell) -> None:
        """Trains to the end. When `stop()` turns true, in training or validation, saves and raises Stopped."""

        def leave() -> None:
            if reason := stop():
                self._save()
                raise Stopped(str(reason))

        while not self.finished:
            started = time.monotonic()
            for batch in self._rest_of_epoch():
                self._step(batch)
                tell(self.progress, self.steps, None)
                leave()
                if time.monotonic() - self._saved > self.cfg.checkpoint_minutes * 60:
                    self._save()
            trained_s = time.monotonic() - started
            metrics = self._end_epoch(leave)
            self._count_seconds()
            self._note(
                "timing.jsonl", {"epoch": self.progress.epoch, "train_s": trained_s, "seconds": self.progress.seconds}
            )
            self._save()
            tell(self.progress, self.steps, metrics)

    def _begin(self) -> Progress:
        self.model.inputs.learn(to_device(b, self.device) for _, b in self.train.batches(self.cfg.batch_clips))  # type: ignore[union-attr, operator]
        return Progress()

    def _rest_of_epoch(self) -> Iterator[Batch]:
        """The batches still to do (none, if only the validation is), the next one read while this one is computed."""
        order = np.random.default_rng(seed_of(self.seed, "epoch", self.progress.epoch)).permutation(len(self.train))
        first = self.progress.step - self.progress.epoch * self.steps
        parts = [order[n * self.cfg.batch_clips : (n + 1) * self.cfg.batch_clips] for n in range(first, self.steps)]
        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(self.train.batch, part) for part in parts[:1]]
            for n in range(len(parts)):
                batch = ahead.pop().result()
                ahead += [reader.submit(self.train.batch, part) for part in parts[n + 1 : n + 2]]
                yield to_device(batch, self.device)

    def _step(self, batch: Batch) -> None:
        step = self.progress.step
        torch.manual_seed(seed_of(self.seed, "step", step))
        if self.cfg.spec_augment:
            batch = hide_stripes(batch, np.random.default_rng(seed_of(self.seed, "stripes", step)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.cfg.epochs * self.steps, self.cfg.learning_rate)
        self.model.train()
        loss = F.binary_cross_entropy_with_logits(self.model(batch), batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise UserError(
                f"{self.folder}: the training diverged, its loss is {float(loss)} at step {step}",
                "lower train.learning_rate, then train again",
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.clip_norm)
        self.optimizer.step()
        self.progress.step += 1
        self.progress.loss_sum += float(loss.detach()) * len(batch.targets)  # an epoch's last batch may be short

    def _end_epoch(self, leave: Callable[[], None]) -> dict[str, Any]:
        progress = self.progress
        logits = logits_of(self.model, self.select, self.cfg.batch_clips, self.device, between=leave)
        metrics = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / len(self.train),
            **select_metrics(logits, self.select),
        }
        progress.epoch, progress.loss_sum = progress.epoch + 1, 0.0
        if metrics["select_score"] < progress.best_score:
            progress.best_score, progress.best_epoch = metrics["select_score"], progress.epoch
            save_checkpoint(
                self.folder / "best.safetensors", self.model, None, Progress(**vars(progress) | {"seconds": 0.0})
            )
        self._note("metrics.jsonl", metrics)
        return metrics

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.progress.seconds, self._since = self.progress.seconds + now - self._since, now

    def _save(self) -> None:
        self._count_seconds()
        save_checkpoint(self.last, self.model, self.optimizer, self.progress)
        self._saved = time.monotonic()

    def _note(self, name: str, row: dict[str, Any]) -> None:
        path = self.folder / name
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        sync(path)  # before the checkpoint that counts on it

    def _cut_back(self, name: str) -> None:
        """What a killed training wrote after its last checkpoint, a torn line too, is written again."""
        path = self.folder / name
        if path.exists():
            kept = path.read_text(encoding="utf-8").splitlines()[: self.progress.epoch]  # one line an epoch
            write_atomic(path, "".join(f"{line}\n" for line in kept))


def select_metrics(logits: NDArray[np.float64], select: Features) -> dict[str, float]:
    """Loss and official score (uncalibrated) on *select*, by which the model is chosen."""
    targets = targets_of(select)
    score = official_score(targets, 1 / (1 + np.exp(-logits)))
    loss = float(F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(targets)))
    return {"select_loss": loss, "select_score": score.score, "select_auc": score.auc}


def targets_of(features: Features) -> NDArray[np.float64]:
    return np.array([[row["fake"], row["real"]] for row in features.rows], float)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rises in a line over the first tenth, then falls along a cosine to nearly 0."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * max(0.01, 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def hide_stripes(batch: Batch, rng: np.random.Generator) -> Batch:
    """SpecAugment (Park et al. 2019): stripes of time and of mel bands get the clip's mean over its sound frames.

    Each clip has a draw of its own.
    """
    mel, (clips, mels, frames) = batch.mel, batch.mel.shape
    hidden = torch.zeros((clips, mels, frames), dtype=torch.bool)
    for clip in range(clips):
        for _ in range(STRIPES):
            width, height = rng.integers(0, HIDDEN_FRAMES + 1), rng.integers(0, HIDDEN_MELS + 1)
            at, low = rng.integers(0, frames), rng.integers(0, mels)
            hidden[clip, :, at : at + width] = True
            hidden[clip, low : low + height] = True
    sound = (torch.arange(frames, device=mel.device) < batch.frames[:, None])[:, None]
    mean: Tensor = (mel * sound).sum((1, 2), keepdim=True) / (sound.sum((1, 2), keepdim=True) * mels).clamp_min(1)
    return batch._replace(mel=torch.where(hidden.to(mel.device), mean, mel))
