"""Reads corpora in their own layouts, splits them by whole speakers and engines, and audits them for shortcuts."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from sys import intern
from typing import Any

from app.config import Config
from app.runtime.files import read_json, write_json
from app.runtime.job import open_job
from app.runtime.rows import Row, Rows
from app.runtime.run import Run, job_main
from app.runtime.shards import Draft, Shard, commit, cut, receipt_of, rows_of
from app.runtime.steps import step
from app.runtime.tell import span, tell
from jobs.chain import spec_of
from jobs.terminal import table

LAST = "manifest"  # the shard that is made from all others
SURVEYED = "[0-9]*"  # those; another job at the same stage may have made the last one meanwhile
ROW_BYTES = 1500  # of a manifest line, with its facts
LISTED = ("test", "unlabeled", "extra")  # splits that are not learnt from
BEAT_S = 10.0
LISTED_TOGETHER = 5000  # rows of a shard that only lists
# for splits and the audit
KNOWN = ("id", "fake", "real", "speaker", "attack", "language", "parent", "corpus", "source")


def prepare(run: Run) -> None:
    """Reads corpora in their own layouts, splits them by whole speakers and engines, and audits them for shortcuts."""
    from app.corpora.leaks import bytes_shared
    from app.corpora.manifest import by_split, digest_of, name_of, with_digests
    from app.corpora.recordings import recordings_of

    corpus = recordings_of(run.data, run.config)
    for note in corpus.notes:
        tell(f"prepare  {note}")
    beat = _beats(len(corpus.rows))
    train = Rows(beat(with_digests(run.data, by_split(corpus.rows, "train"), run.workers)))
    rest = Rows(beat(with_digests(run.data, by_split(corpus.rows, *LISTED), run.workers)))
    for sentence in bytes_shared(train, by_split(rest, "test")):
        tell(f"prepare  {sentence}")
    tables = {name: digest_of(run.data / name) for name in corpus.tables}
    run.note_corpus(name_of(train), name_of(rest), tables, corpus.answers)
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
            listed.run(
                list_shard,
                cut(rest, LISTED_TOGETHER) or [Shard("00000")],
                preload=None,
                row_bytes=lambda row: ROW_BYTES,
            )
    audit = read_json(job.shards / LAST / "audit.json")
    _show(audit, rest)


def _beats(total: int) -> Callable[[Iterator[Row]], Iterator[Row]]:
    """Passes rows on, and tells every ten seconds how many there were: a large corpus takes a while to read."""
    began, done, said = time.monotonic(), 0, time.monotonic()

    def beat(rows: Iterator[Row]) -> Iterator[Row]:
        nonlocal done, said
        for row in rows:
            yield row
            done += 1
            if time.monotonic() - said > BEAT_S:
                said = time.monotonic()
                left = span((said - began) / done * (total - done))
                tell(f"prepare  {done}/{total} recordings named by their bytes  eta {left}")

    return beat


def list_shard(shard: Shard, out: Draft) -> None:
    """Test and unlabelled recordings as the corpus lists them; what cannot be read, extract will find."""
    for row in shard.rows:
        out.done(row)


def survey_shard(shard: Shard, out: Draft, data: Path, config: Config) -> None:
    """Decodes each training clip once and notes its facts."""
    with step("load libraries"):
        from app.audio.io import load_clip
        from app.audio.open import BadClip
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
    from app.corpora.crossed import UNUSED, split_rows
    from app.corpora.manifest import BONAFIDE, by_split
    from app.corpora.split import SPLITS, sources_of

    rows, facts, colours = [], {}, []
    for row in rows_of(stage, shard=SURVEYED):
        rows.append({key: intern(row[key]) if isinstance(row[key], str) else row[key] for key in KNOWN if key in row})
        known = {**row["facts"], "sample_rate": row["sample_rate"]}
        colour = np.array(known.pop("colour"))
        if not row["speaker"] and (row["attack"] or BONAFIDE) == BONAFIDE:
            colours.append(colour)
        facts[row["id"]] = known
    nameless = [row["id"] for row in rows if not row["speaker"] and (row["attack"] or BONAFIDE) == BONAFIDE]
    clusters: dict[str, str] = {}
    if nameless:
        clusters = clusters_of(nameless, np.array(colours), [facts[id]["digest"] for id in nameless], config.seed)
    digests = {id: known["digest"] for id, known in facts.items()}
    ties = clusters | (sources_of(rows) if config.prepare.hold_out == "source" else {})
    splits, left_out = split_rows(rows, ties, digests, config.prepare.valid_fraction, config.seed)
    audit = audit_of(rows, facts, list(rows_of(stage, "failed", SURVEYED))).as_json()
    if nameless:
        audit["sentences"].insert(
            0,
            f"{len(nameless)} clips have no speaker and no engine ({'others do' if has_meta else 'none does'}): "
            "they were grouped by sound alone, so a voice may lie in two splits and validation may be too kind",
        )
    if left_out:
        audit["sentences"].insert(0, left_out)
    for row in rows_of(stage, shard=SURVEYED):
        del row["facts"], row["shard"]
        out.done({**row, "split": splits[row["id"]], "cluster": clusters.get(row["id"])})
    names = (*SPLITS, UNUSED) if left_out else SPLITS
    audit["splits"] = [_split_line(name, by_split(out.manifest, name)) for name in names]
    write_json(out.path / "audit.json", audit)


def _split_line(name: str, rows: Iterable[Row]) -> dict[str, Any]:
    from app.corpora.split import engine_of

    clips: Counter[str] = Counter()
    names: dict[str, set[str]] = {"speakers": set(), "engines": set(), "languages": set()}
    for row in rows:
        clips["all"] += 1
        if row["real"] is not None:
            clips["labelled"] += 1
            clips["real"] += row["real"]
            clips["fake"] += row["fake"]
            names["speakers"] |= {row["speaker"]} if row["real"] else set()
        names["engines"].add(engine_of(row["attack"]) or "")
        names["languages"].add(row["language"] or "")
    return {
        "split": name,
        "clips": clips["all"],
        "real": clips["real"] if clips["labelled"] else None,
        "fake": clips["fake"] if clips["labelled"] else None,
        "speakers": len(names["speakers"] - {None, ""}) or None,
        "engines": ", ".join(sorted(names["engines"] - {""})),
        "languages": ", ".join(sorted(names["languages"] - {""})),
    }


def split_rows(audit: dict[str, Any], rest: Iterable[Row]) -> list[dict[str, Any]]:
    """One row a split of training recordings, then what is only listed."""
    from app.corpora.manifest import by_split

    lines = [_split_line(name, by_split(rest, name)) for name in LISTED]
    return audit["splits"] + [line for line in lines if line["clips"]]


def _show(audit: dict[str, Any], rest: Rows) -> None:
    table("Splits", split_rows(audit, rest))
    table(
        "Does a plain fact tell the label?", [{k: v for k, v in s.items() if k != "found"} for s in audit["shortcuts"]]
    )
    for sentence in audit["sentences"]:
        print(f"  ! {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(job_main(prepare))
