"""A job of ours that never ends by itself: real feature extraction of computed clips, through the real runtime.

    python -m bench.ours --config C --runs RUNS --workers N

Each clip done adds a byte to RUNS/clips. Stop it with TERM.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from app.config import Config
from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, cut

SHARDS, SHARD_CLIPS = 4000, 32
PRELOAD = "app.features.writer"


def ours(run: Run) -> None:
    """Extracts features of computed clips until it is stopped."""
    rows: list[dict[str, Any]] = [{"id": f"{n:07d}"} for n in range(SHARDS * SHARD_CLIPS)]
    spec = {"job": "bench", "version": 1, "config": {}, "inputs": {"begun": time.time()}}
    with open_job(run, "bench", spec) as job:
        job.run(
            extract_computed,
            cut(rows, SHARD_CLIPS),
            preload=PRELOAD,
            row_bytes=lambda row: 1.0,
            clips=run.runs / "clips",
            config=run.config,
        )


def extract_computed(shard: Shard, out: Draft, clips: Path, config: Config) -> None:
    """Noise with a gliding tone in it, as jobs.extract would treat it."""
    import numpy as np

    from app.features.writer import FeatureWriter

    samples = round(config.mix.window_s * config.sample_rate)
    counter = os.open(clips, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    phase = np.linspace(0, 1, samples, dtype=np.float32) ** 2
    with FeatureWriter(out.path, samples, config.sample_rate, config.extract) as writer:
        for row in out.each(shard):
            rng = np.random.default_rng(int(row["id"]))
            noise = rng.standard_normal(samples, dtype=np.float32)
            writer.add(0.05 * noise + 0.1 * np.sin(2000 * phase * (1 + rng.random()), dtype=np.float32))
            out.done(row)
            os.write(counter, b".")
    os.close(counter)


if __name__ == "__main__":
    sys.exit(job_main(ours))
