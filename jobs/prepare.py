"""Reads a corpus in its own layout, splits it by whole speakers and engines, and audits it for shortcuts."""

import sys
from pathlib import Path
from typing import Any

from app.config import Config
from app.runtime.files import read_json, write_json
from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, commit, cut, receipt_of, rows_of
from app.runtime.workers import leave_if_stopped
from jobs.chain import spec_of
from jobs.terminal import table

LAST = "manifest"  # the shard that is made from all others


def prepare(run: Run) -> None:
    """Reads a corpus in its own layout, splits it by whole speakers and engines, and audits it for shortcuts."""
    from app.corpora.contest import read_contest
    from app.corpora.manifest import corpus_fingerprint

    corpus = read_contest(run.data)
    run.note_stage("corpus", corpus_fingerprint(run.data, [*corpus.tables, *(row["path"] for row in corpus.rows)]))
    with open_job(run, "prepare", spec_of(run, "prepare")) as job:
        if not job.complete:
            shards = cut([row for row in corpus.rows if row["split"] == "train"], run.config.prepare.shard_clips)
            job.run(survey_shard, shards, preload="app.audio.survey", after=(LAST,), data=run.data, config=run.config)
            if receipt_of(job.shards, LAST) is None:
                rest = [row for row in corpus.rows if row["split"] != "train"]
                with commit(job.shards, LAST) as out:
                    _join(job.folder, out, rest, run.config, corpus.has_meta)
        _show(read_json(job.shards / LAST / "audit.json"))


def survey_shard(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """Decodes each training clip once and notes its facts."""
    from app.audio.io import BadClip, load_clip
    from app.audio.survey import clip_facts

    for row in shard.rows:
        leave_if_stopped()
        try:
            clip = load_clip(data / row["path"], None, **config.prepare.limits)
        except BadClip as bad:
            out.fail(row, bad.cause, bad.detail)
            continue
        facts = {**clip_facts(clip.samples, clip.source_rate), "channels": clip.source_channels}
        out.done({**row, "sample_rate": clip.source_rate, "num_samples": len(clip.samples), "facts": facts})


def _join(stage: Path, out: Draft, rest: list[dict[str, Any]], config: Config, has_meta: bool) -> None:
    """The manifest: every good training clip with its split, then test and unlabelled recordings as listed."""
    import numpy as np

    from app.corpora.audit import audit_of
    from app.corpora.clusters import clusters_of
    from app.corpora.split import groups_of, split_groups

    rows = list(rows_of(stage))
    facts = {row["id"]: {**row.pop("facts"), "sample_rate": row["sample_rate"]} for row in rows}
    nameless = [row["id"] for row in rows if not row["speaker"] and not row["attack"]]
    clusters: dict[str, str] = {}
    if nameless:
        colours = np.array([facts[id]["colour"] for id in nameless])
        clusters = clusters_of(nameless, colours, [facts[id]["digest"] for id in nameless], config.seed)
    groups = groups_of(rows, clusters, {id: known["digest"] for id, known in facts.items()})
    splits = split_groups(groups, config.prepare.valid_fraction, config.seed)
    audit = audit_of(rows, facts, list(rows_of(stage, "failed"))).as_json()
    if nameless:
        audit["sentences"].insert(
            0,
            f"{len(nameless)} clips have no speaker and no attack ({'gaps in' if has_meta else 'no'} meta.csv): "
            "they were grouped by sound alone, so a voice may lie in two splits and validation may be too kind",
        )
    for row in rows:
        row.pop("shard")
        out.done({**row, "split": splits[row["id"]], "cluster": clusters.get(row["id"])})
    for row in rest:
        out.done(row)
    audit["splits"] = [_split_line(name, [row for row in out.manifest if row["split"] == name]) for name in SPLIT_ORDER]
    write_json(out.path / "audit.json", audit)


SPLIT_ORDER = ("train", "select", "calibrate", "test", "unlabeled")


def _split_line(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from app.corpora.split import engine_of

    return {
        "split": name,
        "clips": len(rows),
        "real": sum(row["real"] or 0 for row in rows),
        "fake": sum(row["fake"] or 0 for row in rows),
        "speakers": len({row["speaker"] for row in rows if row["speaker"] and row["real"]}),
        "engines": ", ".join(sorted({e for row in rows if (e := engine_of(row["attack"]))})),
        "languages": ", ".join(sorted({row["language"] for row in rows if row["language"]})),
    }


def _show(audit: dict[str, Any]) -> None:
    table("Splits", audit["splits"])
    table(
        "Does a plain fact tell the label?", [{k: v for k, v in s.items() if k != "found"} for s in audit["shortcuts"]]
    )
    for sentence in audit["sentences"]:
        print(f"  ! {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(job_main(prepare))
