"""Reads a corpus in its own layout, splits it by whole speakers and engines, and audits it for shortcuts."""

import sys
from pathlib import Path
from typing import Any

from app.config import Config
from app.runtime.files import fingerprint, read_json, write_json
from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, commit, cut, receipt_of, rows_of
from app.runtime.steps import step
from jobs.chain import spec_of
from jobs.terminal import table

LAST = "manifest"  # the shard that is made from all others
ROW_BYTES = 1500  # of a manifest line, with its facts


def prepare(run: Run) -> None:
    """Reads a corpus in its own layout, splits it by whole speakers and engines, and audits it for shortcuts."""
    from app.corpora.contest import read_contest
    from app.corpora.manifest import digests_of

    corpus = read_contest(run.data)
    digests = digests_of(run.data, [*corpus.tables, *(row["path"] for row in corpus.rows)], run.workers)
    rows = [{**row, "sha256": digests[row["path"]]} for row in corpus.rows]
    train, rest = [r for r in rows if r["split"] == "train"], [r for r in rows if r["split"] != "train"]
    tables = {name: digests[name] for name in corpus.tables}
    run.note_corpus(_name(train, tables, ("train.csv", "meta.csv")), _name(rest, tables, ("test.csv",)), tables)
    with open_job(run, "prepare", spec_of(run, "prepare")) as job:
        if not job.complete:
            shards = cut(train, run.config.prepare.shard_clips)
            job.run(
                survey_shard,
                shards,
                preload="app.audio.survey",
                row_bytes=lambda row: 2 * ROW_BYTES,
                after=(LAST,),
                data=run.data,
                config=run.config,
            )
            if receipt_of(job.shards, LAST) is None:
                with commit(job.shards, LAST) as out, step("split and audit"):
                    _join(job.folder, out, run.config, corpus.has_meta)
    with open_job(run, "prepare-test", spec_of(run, "prepare-test")) as listed:
        if not listed.complete:
            listed.run(list_shard, [Shard("00000", tuple(rest))], preload=None, row_bytes=lambda row: ROW_BYTES)
    audit = read_json(job.shards / LAST / "audit.json")
    _show(audit, rest)


def _name(rows: list[dict[str, Any]], tables: dict[str, str], names: tuple[str, ...]) -> str:
    """The fingerprint of some recordings and the tables that describe them: all that a stage on them can depend on."""
    return fingerprint([{name: tables.get(name) for name in names}, {row["path"]: row["sha256"] for row in rows}])


def list_shard(shard: Shard, out: Draft) -> None:
    """Test and unlabelled recordings as the corpus lists them; what cannot be read, extract will find."""
    for row in shard.rows:
        out.done(row)


def survey_shard(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """Decodes each training clip once and notes its facts."""
    with step("load libraries"):
        from app.audio.io import BadClip, load_clip
        from app.audio.survey import clip_facts

    for row in out.each(shard):
        try:
            with step("decode"):
                clip = load_clip(data / row["path"], None, **config.prepare.limits)
        except BadClip as bad:
            out.fail(row, bad.cause, bad.detail)
            continue
        with step("facts"):
            facts = {**clip_facts(clip.samples, clip.source_rate), "channels": clip.source_channels}
        out.done({**row, "sample_rate": clip.source_rate, "num_samples": len(clip.samples), "facts": facts})


def _join(stage: Path, out: Draft, config: Config, has_meta: bool) -> None:
    """The manifest: every good training clip with its split."""
    import numpy as np

    from app.corpora.audit import audit_of
    from app.corpora.clusters import clusters_of
    from app.corpora.manifest import BONAFIDE
    from app.corpora.split import SPLITS, groups_of, split_groups

    rows = list(rows_of(stage))
    facts = {row["id"]: {**row.pop("facts"), "sample_rate": row["sample_rate"]} for row in rows}
    nameless = [row["id"] for row in rows if not row["speaker"] and (row["attack"] or BONAFIDE) == BONAFIDE]
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
            f"{len(nameless)} clips name no speaker and no engine ({'gaps in' if has_meta else 'no'} meta.csv): "
            "they were grouped by sound alone, so a voice may lie in two splits and validation may be too kind",
        )
    for row in rows:
        row.pop("shard")
        out.done({**row, "split": splits[row["id"]], "cluster": clusters.get(row["id"])})
    audit["splits"] = [_split_line(name, [row for row in out.manifest if row["split"] == name]) for name in SPLITS]
    write_json(out.path / "audit.json", audit)


def _split_line(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from app.corpora.split import engine_of

    labelled = [row for row in rows if row["real"] is not None]
    return {
        "split": name,
        "clips": len(rows),
        "real": sum(row["real"] for row in labelled) if labelled else None,
        "fake": sum(row["fake"] for row in labelled) if labelled else None,
        "speakers": len({row["speaker"] for row in labelled if row["speaker"] and row["real"]}) or None,
        "engines": ", ".join(sorted({e for row in rows if (e := engine_of(row["attack"]))})),
        "languages": ", ".join(sorted({row["language"] for row in rows if row["language"]})),
    }


def split_rows(audit: dict[str, Any], rest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a split of training recordings, then what is only listed."""
    others = [name for name in ("test", "unlabeled") if any(row["split"] == name for row in rest)]
    return audit["splits"] + [_split_line(name, [row for row in rest if row["split"] == name]) for name in others]


def _show(audit: dict[str, Any], rest: list[dict[str, Any]]) -> None:
    table("Splits", split_rows(audit, rest))
    table(
        "Does a plain fact tell the label?", [{k: v for k, v in s.items() if k != "found"} for s in audit["shortcuts"]]
    )
    for sentence in audit["sentences"]:
        print(f"  ! {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(job_main(prepare))
