"""Plans every training and validation clip: up to two voices in noise, as the test will be. A table to read."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.runtime.files import read_json, write_json
from app.runtime.job import open_job
from app.runtime.pace import PACE
from app.runtime.rows import Row
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, cut, shards_of
from app.runtime.steps import step
from jobs.backgrounds import read_backgrounds
from jobs.chain import need, spec_of
from jobs.terminal import table

ROW_BYTES = 1500  # of a plan's row and its manifest line


def mix(run: Run) -> None:
    """Plans every training and validation clip: up to two voices in noise, as the test will be. A table to read."""
    denoised, cfg = need(run, "denoise"), run.config.mix
    backgrounds = read_backgrounds(run)
    with open_job(run, "mix", spec_of(run, "mix")) as job:
        if not job.complete:
            with step("draw"):
                shards = cut(_plan(run, denoised, backgrounds), cfg.shard_clips)
            job.run(mix_shard, shards, preload=None, row_bytes=lambda row: ROW_BYTES)
        planned = job
    if cfg.materialise:
        with open_job(run, "mix-audio", spec_of(run, "mix-audio")) as job:
            if not job.complete:
                shards = cut(({"id": recipe["id"], "recipe": recipe} for recipe in recipes_of(planned.folder)), 100)
                rate = run.config.sample_rate
                clip_bytes = cfg.window_s * rate * 2 + ROW_BYTES
                job.run(
                    materialise_shard,
                    shards,
                    preload="app.audio.mix",
                    row_bytes=lambda row: clip_bytes,
                    denoised=denoised,
                    backgrounds=backgrounds,
                    rate=rate,
                )
    table("Planned clips", summary_rows(planned.folder))


def _plan(run: Run, denoised: Path, backgrounds: Path | None) -> Iterator[Row]:
    """The manifest line of each clip to be, with its recipe."""
    from app.corpora.plan import planner_of

    cfg, half = run.config.mix, run.config.mix.valid_clips // 2
    for split, count, rates in (
        ("train", cfg.train_clips, cfg.train),
        ("select", half, cfg.valid),
        ("calibrate", cfg.valid_clips - half, cfg.valid),
    ):
        planner = planner_of(split, denoised, backgrounds, run.config)
        for state, recipe in planner.draw(count, rates):
            yield {**planner.row(state, recipe), "recipe": recipe.to_row()}


def mix_shard(shard: Shard, out: Draft) -> None:
    """plan.csv: one row a clip, all that its rendering needs."""
    recipes = [row["recipe"] for row in shard.rows]
    with (out.path / "plan.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "split", "state", "fake", "real", *list(recipes[0])[1:]])
        writer.writeheader()
        for row, recipe in zip(shard.rows, recipes, strict=True):
            writer.writerow({**{key: row[key] for key in ("id", "split", "state", "fake", "real")}, **recipe})
    for row in shard.rows:
        out.done({key: value for key, value in row.items() if key != "recipe"})
    write_json(out.path / "summary.json", _summary(shard.rows, recipes))


def materialise_shard(shard: Shard, out: Draft, denoised: Path, backgrounds: Path | None, rate: int) -> None:
    """ID.wav of each planned clip, to listen to."""
    import soundfile

    from app.audio.mix import render
    from app.audio.recipe import Recipe
    from app.corpora.sounds import noise_of, sounds_of

    voices, (noise, rooms) = sounds_of(denoised), noise_of(denoised, backgrounds)
    for row in out.each(shard):
        with step("render"):
            samples = render(Recipe.from_row(row["recipe"]), voices, noise, rate, rooms)
        soundfile.write(out.path / f"{row['id']}.wav", samples, rate, subtype="PCM_16")
        PACE.wrote(2 * len(samples))
        out.done({"id": row["id"], "path": f"{row['id']}.wav"})


def recipes_of(planned: Path) -> Iterator[Row]:
    """The recipe row of every planned clip, as plan.csv has it, in the order of the manifest."""
    for folder in shards_of(planned):
        with (folder / "plan.csv").open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def _summary(rows: Sequence[Row], recipes: list[Row]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for row, recipe in zip(rows, recipes, strict=True):
        split = row["split"]
        counts[f"{split}/clips"] += 1
        counts[f"{split}/{row['state']}"] += 1
        for key, name in (
            ("room_t60_s", "room"),
            ("response", "recorded room"),
            ("codec", "codec"),
            ("band_stop_low_hz", "band-stop"),
            ("noise", "recorded noise"),
        ):
            counts[f"{split}/{name}"] += recipe[key] != ""
        counts[f"{split}/voices by another chain"] += recipe["voices"].count('"chain":true')
    return dict(counts)


def summary_rows(planned: Path) -> list[dict[str, Any]]:
    """One row a split: its clips, and how many of each state and augmentation."""
    total: Counter[str] = Counter()
    for folder in shards_of(planned):
        total.update(read_json(folder / "summary.json"))
    names = list(dict.fromkeys(key.split("/", 1)[1] for key in total))
    order = [n for n in ("clips", "none", "real", "fake", "real+real", "fake+fake", "real+fake") if n in names]
    columns = order + [name for name in names if name not in order]
    splits = dict.fromkeys(key.split("/", 1)[0] for key in total)
    return [{"split": split, **{name: total[f"{split}/{name}"] for name in columns}} for split in splits]


if __name__ == "__main__":
    sys.exit(job_main(mix))
