"""Models that are fitted in one go, in the same folder and files as those that are trained."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from app.features.store import Features
from app.learning.checkpoint import Progress, save_checkpoint
from app.learning.loop import select_metrics
from app.learning.predict import logits_of
from app.runtime.files import write_atomic


def fit_in_closed_form(folder: Path, model: Any, train: Features, select: Features, batch_clips: int) -> Progress:
    """Fits on the CPU, writes best.safetensors and the one line of metrics.jsonl; holds pooled numbers only."""

    started = time.monotonic()
    model.inputs.learn(batch for _, batch in train.batches(batch_clips))
    model.eval()
    with torch.no_grad():
        batches = [(model.pooled(batch), batch.targets) for _, batch in train.batches(batch_clips)]
    model.fit(torch.cat([pooled for pooled, _ in batches]), torch.cat([targets for _, targets in batches]))
    metrics = select_metrics(logits_of(model, select, batch_clips, torch.device("cpu")), select)
    progress = Progress(epoch=1, best_epoch=1, best_score=metrics["select_score"])
    save_checkpoint(folder / "best.safetensors", model, None, progress)
    write_atomic(folder / "metrics.jsonl", json.dumps({"epoch": 1, **metrics}) + "\n")
    progress.seconds = time.monotonic() - started
    return progress
