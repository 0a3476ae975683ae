"""Models that are fitted in one go, in the same folder and files as those that are trained."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.features.batches import AnyBatch
from app.features.store import Stored
from app.learning.checkpoint import Progress, save_checkpoint
from app.learning.predict import logits_of
from app.learning.selection import select_metrics
from app.learning.timing import Timing
from app.runtime.files import write_atomic
from app.runtime.seat import worked_s
from app.runtime.steps import step


def fit_in_closed_form(
    folder: Path,
    model: Any,
    train: Stored[Any],
    select: Stored[Any],
    batch_clips: int,
    between: Callable[[], None] = lambda: None,
) -> Progress:
    """Fits on the CPU, writes best.safetensors and the one line of metrics.jsonl.

    Holds the pooled numbers only: 1 kB a clip. `between` is
    called after each batch; it may raise to leave.
    """

    timing = Timing(folder, worked_s())
    pooled, targets = passes_over(model, train, batch_clips, between)
    with step("fit"):
        model.fit(pooled, targets)
    del pooled, targets
    with step("validate"):
        logits = logits_of(model, select, batch_clips, torch.device("cpu"), between)
        metrics = {"epoch": 1, **select_metrics(logits, select)}
    progress = Progress(epoch=1, best_epoch=1, best_score=metrics["select_score"], history=[metrics])
    save_checkpoint(folder / "best.safetensors", model, None, progress)
    write_atomic(folder / "metrics.jsonl", json.dumps(metrics) + "\n")
    timing.note(1, 0, worked_s())
    return progress


def passes_over(
    model: Any, train: Stored[Any], batch_clips: int, between: Callable[[], None] = lambda: None
) -> tuple[Tensor, Tensor]:
    """What a fit grows with: all clips once for the statistics of the inputs, once more to be pooled.

    Returns (clips, numbers) and their targets, (clips, 2).
    """

    def batches() -> Iterator[AnyBatch]:
        for _, batch in train.batches(batch_clips):
            yield batch
            between()

    with step("learn inputs"):
        model.learn(batches)
    with step("pool"):
        return _pooled(model.eval(), batches(), len(train))


@torch.no_grad()
def _pooled(model: Any, batches: Iterator[AnyBatch], clips: int) -> tuple[Tensor, Tensor]:
    """(clips, numbers) and their targets, (clips, 2).

    Made room for at once: small pieces that stay among large ones that go would hold the heap open, MBs a batch.
    """
    pooled, targets, done = torch.empty(0), torch.empty(clips, 2), 0
    for batch in batches:
        part = model.pooled(batch)
        if not done:
            pooled = torch.empty(clips, part.shape[1])
        pooled[done : done + len(part)], targets[done : done + len(part)] = part, batch.targets
        done += len(part)
    return pooled, targets
