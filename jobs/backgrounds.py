"""Reads recorded noise and room responses (mix.noise_dirs, mix.rir_dirs) once, at the run's rate, in shards."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from app.config import Config
from app.errors import UserError
from app.runtime.files import read_json, write_json
from app.runtime.job import open_job
from app.runtime.rows import Row, Rows
from app.runtime.run import Run
from app.runtime.shards import Draft, Shard, cut, rows_of
from app.runtime.steps import step
from jobs.chain import BACKGROUNDS, backgrounds_stage, spec_of, stage_of

ROOM_S = 2.0
READ_OF_ROOM_S = 30.0  # its direct sound must come within
SHORTEST_S = 0.5  # of noise
READ_TOGETHER = 100


def read_backgrounds(run: Run) -> Path | None:
    """The stage with them, whole; None where the config names no folder. Whole groups lie in one split."""
    how = run.config.mix
    if not (how.noise_dirs or how.rir_dirs):
        return None
    from app.corpora.backgrounds import backgrounds_of
    from app.corpora.manifest import name_of

    listed, notes = backgrounds_of(
        run.data, how.noise_dirs, how.rir_dirs, run.config.prepare.valid_fraction, run.config.seed
    )
    for note in notes:
        print(f"mix  {note}", file=sys.stderr)
    known = (read_json(run.folder / BACKGROUNDS) or {"files": {}})["files"]
    with step("name noise and rooms"):
        rows = Rows(_with_digests(run, listed, known))
    rows = _once(rows)
    _check_no_voices(run, rows)
    name = name_of(rows)
    write_json(run.folder / BACKGROUNDS, {"name": name, "files": dict(_files(run, rows))})
    with open_job(run, "backgrounds", spec_of(run, "backgrounds", recordings=name)) as job:
        if not job.complete:
            rate, longest = run.config.sample_rate, max(how.noise_max_s, ROOM_S)
            job.run(
                background_shard,
                cut(rows, READ_TOGETHER),
                preload="app.audio.io",
                row_bytes=lambda row: 2 * rate * longest + 500,
                data=run.data,
                config=run.config,
            )
    stage = backgrounds_stage(run)
    _check_each_split(stage, {row["kind"] for row in rows})
    return stage


def _once(rows: Rows) -> Rows:
    """Without those that are byte for byte one before them."""
    seen, kept = set[tuple[str, str]](), Rows()
    for row in rows:
        mark = (row["kind"], row["sha256"])
        if mark not in seen:
            kept.append(row)
        if len(row["sha256"]) == 64:
            seen.add(mark)
    if len(kept) < len(rows):
        print(f"mix  {len(rows) - len(kept)} of them are copies of others, and are left out", file=sys.stderr)
    return kept


def _check_no_voices(run: Run, rows: Rows) -> None:
    """UserError for a recording that is one of the corpus, or of its test."""
    from app.corpora.leaks import known_among

    voices = chain.from_iterable(rows_of(stage_of(run, part)) for part in ("prepare", "prepare-test"))
    found, _ = known_among(voices, rows)
    if found:
        raise UserError(
            f"mix.noise_dirs, mix.rir_dirs: {len(found)} of their recordings are, byte for byte, recordings of this "
            f"run's corpora or test ({', '.join(found[:3])}): they would speak in clips labelled without a voice",
            "take them out of those folders",
        )


def _check_each_split(stage: Path | None, kinds: set[str]) -> None:
    """UserError where what was asked for could not be read for some split: it would be computed without a word."""
    from app.corpora.split import SPLITS

    there = {(row["kind"], row["split"]) for row in rows_of(stage)} if stage else set()
    for kind, key in (("noise", "mix.noise_dirs"), ("room", "mix.rir_dirs")):
        missing = [split for split in SPLITS if kind in kinds and (kind, split) not in there]
        if missing:
            raise UserError(
                f"{key}: none could be read of those for {', '.join(missing)}, see {stage}/shards/*/failed.jsonl",
                f"mend or add recordings, or leave {key} empty",
            )


def background_shard(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """background.npy: int16 at the run's sample rate, end to end; the manifest says where each lies."""
    with step("load libraries"):
        from app.audio.io import decode, load_clip, resample
        from app.audio.open import BadClip
        from app.audio.room import recorded_response
        from app.corpora.manifest import same_recording
        from app.corpora.sounds import SoundWriter

    rate, how = config.sample_rate, {"min_seconds": SHORTEST_S, "silent_dbfs": config.prepare.silent_dbfs}
    with SoundWriter(out.path / "background.npy") as sounds:
        for row in out.each(shard):
            try:
                with step("decode"):
                    path = same_recording(data, row)
                    if row["kind"] == "noise":
                        samples = load_clip(path, rate, max_seconds=config.mix.noise_max_s, **how).samples
                    else:  # of the first channel: the mean of several would be another room
                        heard, source_rate = decode(path, READ_OF_ROOM_S, first_channel=True)
                        samples = recorded_response(resample(heard, source_rate, rate), rate)
            except BadClip as bad:
                out.fail(row, bad.cause, bad.detail)
                continue
            except ValueError as error:
                out.fail(row, "silent", str(error))
                continue
            out.done(sounds.add({**row, "sample_rate": rate, "sources": [row["id"]]}, samples))


def _with_digests(run: Run, rows: Iterable[Row], known: dict[str, Any]) -> Iterator[Row]:
    """With the digest of its bytes, taken anew of a file whose size or time has changed since."""
    from app.corpora.manifest import with_digests

    rows = list(rows)
    fresh = [row for row in rows if known.get(row["path"], [None])[:2] != _stat(run.data / row["path"])]
    found = {row["path"]: row["sha256"] for row in with_digests(run.data, fresh, run.workers)}
    return ({**row, "sha256": found.get(row["path"]) or known[row["path"]][2]} for row in rows)


def _files(run: Run, rows: Iterable[Row]) -> Iterator[tuple[str, list[Any]]]:
    return ((row["path"], [*_stat(run.data / row["path"]), row["sha256"]]) for row in rows)


def _stat(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:
        return [None, None]
    return [found.st_size, found.st_mtime_ns]
