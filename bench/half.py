"""Does it matter that mel lies on disk in half precision? Each model learns from both, with several seeds.

    python -m bench.half --config configs/demo.yaml --run demo [--seeds 3] [--data D] [--runs R]

The planned clips of a finished `make extract` are computed once more, in single precision; rounded to half
precision they are a second stage. Scores are the official ones on *select*, uncalibrated, by seed.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.features import writer
from app.features.store import Features
from app.learning.fit import fit_in_closed_form
from app.learning.loop import Trainer
from app.models.registry import build
from app.runtime.run import Run, open_run
from app.runtime.shards import Shard, commit, cut, rows_of, shards_of
from jobs.chain import need
from jobs.extract import extract_mixes
from jobs.mix import recipes_of
from jobs.terminal import table


def main() -> int:
    asked: list[str] = []

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--seeds", type=asked.append, default="3", metavar="N")

    run = open_run("half", __doc__ or "", more, leaves_config=False)
    torch.set_num_threads(run.workers)
    with tempfile.TemporaryDirectory(prefix="half-", dir=run.runs) as scratch:
        stages = stages_of(run, Path(scratch))
        rows: list[dict[str, Any]] = []
        for name in run.config.train.models:
            for seed in range(int(asked[-1])):
                single, half = (score(run, name, seed, stages[kind]) for kind in ("single", "half"))
                rows.append({"model": name, "seed": seed, "single": single, "half": half, "moved": half - single})
    table("Official score on select, mel in single and in half precision", rows)
    for name in run.config.train.models:
        scores = [row["single"] for row in rows if row["model"] == name]
        moved = max(abs(row["moved"]) for row in rows if row["model"] == name)
        print(f"{name}: half precision moves a score by {moved:.5f} at most, seeds by {max(scores) - min(scores):.5f}")
    return 0


def stages_of(run: Run, folder: Path) -> dict[str, Path]:
    """{"single": stage, "half": stage}."""
    planned, denoised = need(run, "mix"), need(run, "denoise")
    plan = zip(rows_of(planned), recipes_of(planned), strict=True)
    rows = ({"id": row["id"], "manifest": row, "recipe": recipe} for row, recipe in plan)
    single, half = folder / "single", folder / "half"
    writer.MEL_TYPE = np.float32
    shards: list[Shard] = cut(rows, run.config.extract.shard_clips)
    for number, shard in enumerate(shards):
        print(f"half  {number + 1}/{len(shards)} shards", file=sys.stderr)
        with commit(single / "shards", shard.name) as out:
            extract_mixes(shard, out, denoised, None, run.config, "extract", run.config.runtime.gpu_memory_share)
    shutil.copytree(single, half)
    for shard_folder in shards_of(half):
        np.save(shard_folder / "mel.npy", np.load(shard_folder / "mel.npy").astype(np.float16))
    return {"single": single, "half": half}


def score(run: Run, name: str, seed: int, stage: Path) -> float:
    torch.manual_seed(seed)
    model: Any = build(name, run.config)
    train, select = (Features(stage, (split,)) for split in ("train", "select"))
    with tempfile.TemporaryDirectory() as folder:
        if getattr(model, "trains_in_closed_form", False):
            progress = fit_in_closed_form(Path(folder), model, train, select, run.config.train.batch_clips)
        else:
            trainer = Trainer(Path(folder), model, train, select, run.config.train, seed, torch.device("cpu"))
            trainer.run(lambda: "", lambda *_: None)
            progress = trainer.progress
    print(f"half  {name} seed {seed}: {progress.best_score:.5f}", file=sys.stderr)
    return float(progress.best_score)


if __name__ == "__main__":
    sys.exit(main())
