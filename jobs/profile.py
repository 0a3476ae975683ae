"""Tells where the time of a job goes: one shard of it, done once more in this process, by step and by function."""

import argparse
import cProfile
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from app.corpora.manifest import TRAIN_SPLITS, by_split
from app.errors import UserError
from app.runtime.machine import keep_freed_memory
from app.runtime.run import Run, open_run
from app.runtime.shards import Draft, Shard, rows_of
from app.runtime.steps import taken_steps
from jobs.chain import backgrounds_stage, need
from jobs.denoise import denoise_shard
from jobs.extract import extract_mixes, extract_recordings
from jobs.mix import recipes_of
from jobs.pack import guarded
from jobs.prepare import survey_shard
from jobs.terminal import table

FUNCTIONS = 15
Work = tuple[Callable[..., None], Any, int, dict[str, Any]]  # (of a shard, rows, rows of a shard, arguments)


def main() -> None:
    asked: list[str] = []

    def more(parser: argparse.ArgumentParser) -> None:
        known = ", ".join(WORKS)
        parser.add_argument("--job", default=os.environ.get("JOB") or "extract", help=known, type=asked.append)

    run = open_run("profile", __doc__ or "", more, leaves_config=False)
    profile(run, asked[-1])


def profile(run: Run, job: str) -> None:
    """Does the first shard twice, the second time under watch, in a scratch folder. UserError for another job."""
    if job not in WORKS:
        raise UserError(f"JOB={job} has no shards to profile", f"JOB={' or '.join(WORKS)}")
    work, rows, size, args = WORKS[job](run)
    shard = Shard("00000", list(islice(rows, size)))
    if not shard.rows:
        raise UserError(f"{job}: this run has nothing for it", "another RUN=..., CONFIG=...")
    print(f"profile  {job}: {len(shard.rows)} clips, twice; the first time all is loaded and compiled", file=sys.stderr)
    keep_freed_memory()  # as a worker does
    _do(work, shard, args, run)
    taken_steps()
    watch, began = cProfile.Profile(), time.perf_counter()
    watch.enable()
    _do(work, shard, args, run)
    watch.disable()
    seconds, clips = time.perf_counter() - began, len(shard.rows)
    steps = {**taken_steps()}
    steps["in no step"] = max(0.0, seconds - sum(steps.values()))
    table(
        f"{job}, one shard of {clips} clips, {seconds:.2f} s in one process (under watch)",
        [
            {"step": name, "seconds": f"{s:.3f}", "share": f"{s / seconds:.0%}", "ms a clip": f"{1000 * s / clips:.2f}"}
            for name, s in sorted(steps.items(), key=lambda item: -item[1])
        ],
    )
    table("The dearest functions, by the time within themselves", _functions(watch, clips))


def _do(work: Callable[..., None], shard: Shard, args: dict[str, Any], run: Run) -> None:
    run.stop.leave()
    folder = Path(tempfile.mkdtemp(prefix=".profile-", dir=run.runs))
    try:
        work(shard, Draft(folder), **args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _functions(watch: cProfile.Profile, clips: int) -> list[dict[str, str]]:
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(watch).stats  # type: ignore[attr-defined]
    dearest = sorted(stats.items(), key=lambda item: -item[1][2])[:FUNCTIONS]
    return [
        {
            "function": name,
            "where": f"{'/'.join(Path(path).parts[-2:])}:{line}" if line else "",
            "calls": str(calls),
            "ms a clip": f"{1000 * own / clips:.2f}",
        }
        for (path, line, name), (_, calls, own, _, _) in dearest
    ]


def _prepare(run: Run) -> Work:
    from app.corpora.recordings import recordings_of

    rows = by_split(recordings_of(run.data, run.config).rows, "train")
    return survey_shard, rows, run.config.prepare.shard_clips, {"data": run.data, "config": run.config}


def _denoise(run: Run) -> Work:
    rows = by_split(rows_of(need(run, "prepare"), shard="manifest"), *TRAIN_SPLITS)
    return denoise_shard, rows, run.config.denoise.shard_clips, {"data": run.data, "config": run.config}


def _extract(run: Run) -> Work:
    planned, denoised = need(run, "mix"), need(run, "denoise")
    plan = zip(rows_of(planned), recipes_of(planned), strict=True)
    rows = ({"id": row["id"], "manifest": row, "recipe": recipe} for row, recipe in plan)
    sounds = {"denoised": denoised, "backgrounds": backgrounds_stage(run)}
    args = {**sounds, "config": run.config, "part": "extract", "gpu_share": run.config.runtime.gpu_memory_share}
    return extract_mixes, rows, run.config.extract.shard_clips, args


def _extract_test(run: Run) -> Work:
    rows = by_split(rows_of(need(run, "prepare-test")), "test")
    known = {"config": run.config, "part": "extract", "gpu_share": run.config.runtime.gpu_memory_share}
    args = {"data": run.data, **known}
    return extract_recordings, rows, run.config.extract.shard_clips, args


WORKS: dict[str, Callable[[Run], Work]] = {
    "prepare": _prepare, "denoise": _denoise, "extract": _extract, "extract-test": _extract_test,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded("profile", main))
