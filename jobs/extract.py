"""Renders the planned clips and reads the test recordings, and computes the same features of both."""

import sys
from pathlib import Path
from typing import Any

from app.config import Config
from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, cut, rows_of
from app.runtime.workers import leave_if_stopped
from jobs.chain import need, spec_of
from jobs.mix import recipes_of

PRELOAD = "app.features.store"


def extract(run: Run) -> None:
    """Renders the planned clips and reads the test recordings, and computes the same features of both."""
    planned, denoised, listed = need(run, "mix"), need(run, "denoise"), need(run, "prepare-test")
    size = run.config.extract.shard_clips
    with open_job(run, "extract", spec_of(run, "extract")) as job:
        if not job.complete:
            recipes = recipes_of(planned)
            rows = [{"id": row["id"], "manifest": row, "recipe": recipes[row["id"]]} for row in rows_of(planned)]
            job.run(extract_mixes, cut(rows, size), preload=PRELOAD, denoised=denoised, config=run.config)
    with open_job(run, "extract-test", spec_of(run, "extract-test")) as job:
        if not job.complete:
            test = [row for row in rows_of(listed) if row["split"] == "test"]
            job.run(extract_recordings, cut(test, size), preload=PRELOAD, data=run.data, config=run.config)


def extract_mixes(shard: Shard, out: Draft, denoised: Path, config: Config) -> None:
    from app.audio.mix import render
    from app.audio.recipe import Recipe
    from app.compat import device_for
    from app.corpora.sounds import sounds_of
    from app.features.store import FeatureWriter

    voices, bank = sounds_of(denoised), sounds_of(denoised, "noise")
    window = round(config.mix.window_s * config.sample_rate)
    writer = FeatureWriter(window, config.sample_rate, config.extract, device_for(config.runtime.device))
    for row in shard.rows:
        leave_if_stopped()
        writer.add(front_end(render(Recipe.from_row(row["recipe"]), voices, bank, config.sample_rate), config))
        manifest = {key: value for key, value in row["manifest"].items() if key != "shard"}
        out.done({**manifest, "recording": row["id"]})
    writer.save(out.path)


def extract_recordings(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """Each recording in windows of mix.window_s; one row a window, with `recording` and `start_s`."""
    from app.audio.io import BadClip, load_clip
    from app.compat import device_for
    from app.corpora.manifest import same_recording
    from app.features.store import FeatureWriter
    from app.features.windows import window_starts

    rate = config.sample_rate
    size, overlap = round(config.mix.window_s * rate), round(config.infer.overlap_s * rate)
    writer = FeatureWriter(size, rate, config.extract, device_for(config.runtime.device))
    for row in shard.rows:
        leave_if_stopped()
        try:
            clip = load_clip(same_recording(data, row), rate, min_seconds=0.0, max_seconds=None, silent_dbfs=-1000.0)
        except BadClip as bad:
            out.fail(row, bad.cause, bad.detail)
            continue
        for number, start in enumerate(window_starts(len(clip.samples), size, overlap)):
            leave_if_stopped()
            samples = clip.samples[start : start + size]
            known = {"recording": row["id"], "start_s": start / rate, "sample_rate": rate, "num_samples": len(samples)}
            out.done({**row, **known, "id": f"{row['id']}#{number}" if start else row["id"]})
            writer.add(front_end(samples, config))
    writer.save(out.path)


def front_end(samples: Any, config: Config) -> Any:
    """What stands before the features, the same for training, validation, test and single files."""
    from app.audio.denoise import gate

    if config.extract.front_end == "none":
        return samples
    return gate(samples, config.sample_rate, stationary=config.denoise.stationary, reduction=config.denoise.reduction)


if __name__ == "__main__":
    sys.exit(job_main(extract))
