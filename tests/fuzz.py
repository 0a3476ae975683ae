"""Thousands of broken recordings and tables through the real prepare and denoise: no crash, no hang, all counted.

    python -m tests.fuzz                         10,000: nine tenths recordings, one tenth corpora of tables
    python -m tests.fuzz --count 500 --seed 7
    python -m tests.fuzz --first 4000 --count 1000 --seed 7 --keep found      that part again, findings kept

A finding is what must not be: a job that fails, hangs, shows a traceback, loses a clip or
takes too much memory; the exit code is 1 then. A clip that crashed or hung its decoder and
was counted as such is listed by name: the job survived it, the library has a bug.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from app.corpora.layouts.contest import read_contest
from tests.fuzz_jobs import DEMO_LIMIT_S, job, unaccounted, watched
from tests.fuzz_recordings import DEMO, VOICES, encode, piece, recording, voices, write
from tests.fuzz_tables import TABLES, spoiled_tables, write_tables
from tests.fuzz_tally import Tally, report

ROUND = 1500  # recordings in a corpus
TABLES_SHARE = 0.1
REAL_EVERY = 25  # so many corpora of tables are read for one that goes through the job
DECODER = ("crashed", "hung")  # causes that name a bug of a library


def fuzz(seed: int, first: int, count: int, keep: Path | None, work: Path, round_size: int = ROUND) -> Tally:
    """Numbers `first` to `first + count` of the seed; `work` is an empty folder for corpora and runs."""
    tally = Tally(keep)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    tables = round(count * TABLES_SHARE)
    _tables(seed, round(first * TABLES_SHARE), tables, work, tally)
    at, end = first - round(first * TABLES_SHARE), first + count - round(first * TABLES_SHARE) - tables
    while at < end:
        size = min(round_size, end - at)
        _recordings(seed, at, size, work / f"recordings-{at}", tally)
        at += size
    return tally


def _recordings(seed: int, first: int, count: int, folder: Path, tally: Tally) -> None:
    """One corpus of recordings through both jobs."""
    began = time.monotonic()
    corpus, runs = folder / "corpus", folder / "runs"
    known, whole = _write_corpus(seed, first, count, corpus, tally.containers)
    written = time.monotonic()
    taken = dict.fromkeys([*known, *whole])
    good: Counter[str] = Counter()
    for name in ("prepare", "denoise"):
        ran = job(name, corpus, runs, limit_s=120 + count)
        what = f"{name} of recordings {first} to {first + count - 1}"
        if not tally.ran(what, ran, (0,), corpus):
            break
        out, failed, problems = unaccounted(runs, name, set(taken))
        for problem in problems:
            tally.find(f"{what}: {problem}", corpus)
        for id, row in failed.items():
            tally.causes[f"{name}: {row['cause']}"] += 1
            if row["cause"] in DECODER:
                tally.survived.append(f"{name}: {row['cause']}: {id} ({known.get(id, 'whole')}): {row['detail'][:200]}")
                tally.hold(corpus / row["path"])
        if lost := sorted(set(failed) & whole):
            tally.find(f"{what}: sound recordings failed: {lost}", corpus)
        good = Counter(known[id] for id in out if id in known)
        taken = dict.fromkeys(out)
    tally.recordings += count
    tally.decoded += good
    spent = time.monotonic() - began
    print(
        f"  recordings {first} to {first + count - 1}: {sum(good.values())} through both jobs, {spent:.0f} s "
        f"({written - began:.0f} s to make them), {len(tally.findings)} findings, peak {tally.peak_mb:.0f} MB",
        flush=True,
    )
    shutil.rmtree(folder)


def _write_corpus(
    seed: int, first: int, count: int, corpus: Path, containers: Counter[str]
) -> tuple[dict[str, str], set[str]]:
    """(id -> container of the broken recordings, ids of some sound ones, without which a corpus could not be split)."""
    (corpus / "train").mkdir(parents=True)
    train, meta, known = ["id,path,label"], ["id,speaker,attack,language"], {}

    def note(id: str, name: str, voice: dict[str, str]) -> None:
        train.append(f"{id},train/{name},{voice['label']}")
        meta.append(f"{id},{voice['speaker']},{voice['attack']},{voice['language']}")

    for n in range(first, first + count):
        made = recording(seed, n)
        write(made, corpus / "train")
        known[f"broken-{n}"] = made.container
        containers[made.container] += 1
        note(f"broken-{n}", made.name, made.voice)
    for n in range(VOICES):
        (corpus / "train" / f"whole-{n}.wav").write_bytes(encode(*piece(n), "WAV", "PCM_16"))
        note(f"whole-{n}", f"whole-{n}.wav", voices()[n])
    (corpus / "train.csv").write_text("\n".join(train) + "\n", encoding="utf-8")
    (corpus / "meta.csv").write_text("\n".join(meta) + "\n", encoding="utf-8")
    return known, {f"whole-{n}" for n in range(VOICES)}


def _tables(seed: int, first: int, count: int, work: Path, tally: Tally) -> None:
    """Corpora of tables: all are read by a process of their own, some go through prepare."""
    began, at, end = time.monotonic(), first, first + count
    folder = work / f"tables-{first}"
    folder.mkdir(parents=True)
    while at < end:
        ran = watched([sys.executable, "-m", "tests.fuzz_tables", *map(str, (seed, at, end - at, folder))], 120 + count)
        for line in [json.loads(line) for line in ran.said.splitlines() if line.startswith("{")]:
            if "n" in line:
                write_tables(spoiled_tables(seed, line["n"])[0], folder)
                tally.find(f"tables {line['n']} ({line['done']})", folder, said=line["said"])
            else:
                tally.verdicts += Counter(line)
        at_last = int((folder / "at").read_text()) if (folder / "at").exists() else end
        if problem := ran.problem((0,)):
            tally.find(f"tables {at_last}: {problem}", folder, said=ran.said)
        at = at_last + 1
    corpus = work / f"tables-{first}-corpus"
    shutil.copytree(DEMO, corpus)
    for n in range(first, end, REAL_EVERY):
        tables, done = spoiled_tables(seed, n)
        write_tables(tables, corpus)
        runs = work / f"tables-{n}-runs"
        ran = job("prepare", corpus, runs, limit_s=DEMO_LIMIT_S)
        tally.ran(f"prepare of tables {n} ({done})", ran, (0, 2), corpus)
        tally.verdicts[f"prepare: exit code {ran.code}"] += 1
        if ran.code == 0:
            ids = {row["id"] for row in read_contest(corpus).rows if row["split"] == "train"}
            for problem in unaccounted(runs, "prepare", ids)[2]:
                tally.find(f"prepare of tables {n} ({done}): {problem}", corpus)
        shutil.rmtree(runs, ignore_errors=True)
    tally.tables += count
    shutil.rmtree(corpus)
    shutil.rmtree(folder)
    print(
        f"  tables {first} to {end - 1}: {len(TABLES)} each, {dict(tally.verdicts)}, {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the bytes of every finding")
    parser.add_argument("--round", type=int, default=ROUND, help="recordings in a corpus")
    asked = parser.parse_args()
    print(f"fuzz: seed {asked.seed}, numbers {asked.first} to {asked.first + asked.count - 1}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        tally = fuzz(asked.seed, asked.first, asked.count, asked.keep, Path(work), asked.round)
    for key, value in report(tally, time.monotonic() - began).items():
        print(f"{key}: {value if not isinstance(value, list) else len(value)}")
        for line in value if isinstance(value, list) else ():
            print(f"  {line}")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
