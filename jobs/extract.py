"""Renders the planned clips and reads the test recordings, and computes the same features of both."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from app.config import Config
from app.corpora.manifest import by_split
from app.driver import may_compute_on_gpu
from app.errors import UserError
from app.features.frames import window_bytes
from app.features.front_end import front_end
from app.features.waves import wave_bytes
from app.runtime.job import is_complete, open_job
from app.runtime.run import Run, job_main
from app.runtime.seat import breathe
from app.runtime.shards import Draft, Shard, cut, rows_of
from app.runtime.steps import step
from jobs.chain import backgrounds_stage, need, read_by, spec_of, stage_of
from jobs.mix import recipes_of

ROW_BYTES = 1000  # of a manifest line
BYTES_PER_S = 32_000  # of a recording, for a guess


def extract(run: Run) -> None:
    """Renders the planned clips and reads the test recordings, and computes the same features of both."""
    for part in read_by(run):
        extract_as(run, part)


def extract_as(run: Run, part: str) -> None:
    """The stages `part` and `part`-test: "extract", the features, or "waves"."""
    planned, denoised, listed = need(run, "mix"), need(run, "denoise"), need(run, "prepare-test")
    size = run.config.extract.shard_clips
    with open_job(run, part, spec_of(run, part), gpu=part == "extract") as job:
        if not job.complete:
            plan = zip(rows_of(planned), recipes_of(planned), strict=True)
            rows = ({"id": row["id"], "manifest": row, "recipe": recipe} for row, recipe in plan)
            job.run(
                extract_mixes,
                cut(rows, size, run.part),
                preload=dear(run.config, part),
                row_bytes=lambda row: clip_bytes(run.config, part),
                denoised=denoised,
                backgrounds=backgrounds_stage(run),
                config=run.config,
                part=part,
                gpu_share=gpu_share(run),
            )
    with open_job(run, f"{part}-test", spec_of(run, f"{part}-test"), gpu=part == "extract") as job:
        if not job.complete:
            job.run(
                extract_recordings,
                cut(by_split(rows_of(listed), "test"), size, run.part),
                preload=dear(run.config, part),
                row_bytes=lambda row: clip_bytes(run.config, part),
                data=run.data,
                config=run.config,
                part=part,
                gpu_share=gpu_share(run),
            )


def is_extracted(run: Run, part: str) -> bool:
    """Whether both stages of `part` are there."""
    return all(is_complete(stage_of(run, stage)) for stage in (part, f"{part}-test"))


def clip_bytes(config: Config, part: str) -> float:
    """What one window takes on disk."""
    samples = round(config.mix.window_s * config.sample_rate)
    if part == "waves":
        return wave_bytes(samples) + ROW_BYTES
    return window_bytes(samples, config.sample_rate, config.extract) + ROW_BYTES


def windows_about(path: Path, config: Config) -> int:
    """Windows of a recording, about, from its size alone: headers are for workers, who may fall over them."""
    from app.audio.windows import LONGEST_S

    try:
        seconds = min(path.stat().st_size / BYTES_PER_S, LONGEST_S)
    except OSError:  # extract will say so
        seconds = 0.0
    return 1 + max(0, int((seconds - config.infer.overlap_s) / (config.mix.window_s - config.infer.overlap_s)))


def dear(config: Config, part: str) -> str:
    """What workers share, for it is dear to import: torch only where there may be a GPU for it."""
    if part == "waves":
        return "app.features.waves app.audio.mix"
    features = "app.features.on_gpu" if may_compute_on_gpu(config.runtime.device) else "app.features.writer"
    return f"{features} app.audio.mix"


def gpu_share(run: Run) -> float:
    """Of the GPU's free memory, for each worker."""
    return run.config.runtime.gpu_memory_share / run.workers


def extract_mixes(
    shard: Shard, out: Draft, denoised: Path, backgrounds: Path | None, config: Config, part: str, gpu_share: float
) -> None:
    with step("load libraries"):
        from app.audio.mix import render
        from app.audio.recipe import Recipe
        from app.corpora.sounds import noise_of, sounds_of

    voices, (noise, rooms) = sounds_of(denoised), noise_of(denoised, backgrounds)
    with _writer(out, config, part, gpu_share) as writer:
        for row in out.each(shard):
            with step("render"):
                samples = render(Recipe.from_row(row["recipe"]), voices, noise, config.sample_rate, rooms)
            writer.add(front_end(samples, config))
            manifest = {key: value for key, value in row["manifest"].items() if key != "shard"}
            out.done({**manifest, "recording": row["id"]})


def extract_recordings(shard: Shard, out: Draft, data: Path, config: Config, part: str, gpu_share: float) -> None:
    """Each recording in windows of mix.window_s; one row a window, with `recording` and `start_s`."""
    with step("load libraries"):
        from app.audio.open import BadClip
        from app.audio.windows import windows_of
        from app.corpora.manifest import same_recording

    rate = config.sample_rate
    size, overlap = round(config.mix.window_s * rate), round(config.infer.overlap_s * rate)
    with _writer(out, config, part, gpu_share) as writer:
        for row in out.each(shard):
            path = same_recording(data, row)
            windows = windows_of(path, rate, size, overlap)
            for number in count():
                try:
                    with step("decode"):
                        window = next(windows, None)
                except BadClip as bad:
                    if number:  # it was sound to its end a moment ago
                        raise UserError(f"{path}: changed while it was read ({bad})", "run it again") from None
                    out.fail(row, bad.cause, bad.detail)
                    break
                if window is None:
                    break
                breathe()
                start, samples = window
                known = {"start_s": start / rate, "sample_rate": rate, "num_samples": len(samples)}
                id = f"{row['id']}#{number}" if start else row["id"]
                out.done({**row, "recording": row["id"], **known, "id": id})
                writer.add(front_end(samples, config))


@contextmanager
def _writer(out: Draft, config: Config, part: str, gpu_share: float) -> Iterator[Any]:
    """A writer for the windows of a run; of features on the GPU that is there or on the CPU; it may be lost within."""
    samples = round(config.mix.window_s * config.sample_rate)
    if part == "waves":
        from app.features.waves import WaveWriter

        with WaveWriter(out.path, samples) as writer:
            yield writer
        return
    device = None
    with step("load libraries"):
        from app.features.writer import FeatureWriter

        if may_compute_on_gpu(config.runtime.device):
            from app.compat import device_within

            device = device_within(config.runtime.device, gpu_share)
    compute, at_once = None, 1
    with ExitStack() as stack:
        if device is not None and device.type != "cpu":
            from app.features.on_gpu import OnGpu
            from app.learning.lost import leaving_a_lost_gpu

            stack.enter_context(leaving_a_lost_gpu())
            at_once = max(1, config.extract.batch_clips // out.shrink)
            compute = OnGpu(config.sample_rate, config.extract, device, at_once, _say)
        features = FeatureWriter(out.path, samples, config.sample_rate, config.extract, compute, at_once)
        yield stack.enter_context(features)


def _say(line: str) -> None:
    print(f"extract  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(job_main(extract))
