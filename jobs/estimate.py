"""Tells what every job of a run will take: time, memory, disk, from the real jobs at work on a probe of 50 clips."""

import argparse
import json
import math
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.config import Config
from app.corpora.corpus import Corpus
from app.corpora.manifest import Row
from app.corpora.recordings import recordings_of
from app.errors import UserError
from app.runtime.estimate import Threads, threads_from
from app.runtime.files import sha256_of
from app.runtime.machine import usable_cores
from app.runtime.room import free_bytes
from app.runtime.run import Run, open_run
from app.runtime.tell import span
from jobs.pack import guarded
from jobs.probe import Bench, draw_clips, lay_out
from jobs.sizes import Sizes, sizes_of
from jobs.takes import Take, takes_of, truth_of
from jobs.told import line_of, remarks, show, show_truth
from jobs.undone import done_parts

PROBES = (50, 150, 450)  # training recordings; more where so few cannot be split
STEPS = 5  # of a training's epoch in the probe
PLANNED = 2000  # clips of a plan, that its rate may be seen


def main() -> None:
    against: list[Path] = []

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="numbers for scripts, on stdout (JSON=1)")
        parser.add_argument(
            "--against", metavar="RUNS/RUN", type=lambda text: against.append(Path(text)),
            default=os.environ.get("AGAINST") or None, help="a run that is done: what it took, beside the estimate",
        )  # fmt: skip

    run = open_run("estimate", __doc__ or "", more, leaves_config=False)
    as_json = "--json" in sys.argv or os.environ.get("JSON", "0") not in ("", "0")
    estimate(run, against[-1] if against else None, as_json)


def estimate(run: Run, against: Path | None = None, as_json: bool = False) -> None:
    """Runs the probe and tells what it found. Leaves nothing but that."""
    truth = truth_of(against) if against else {}
    began, corpus = time.monotonic(), recordings_of(run.data, run.config)
    train = [row for row in corpus.rows if row["split"] == "train"]
    done = set() if against else done_parts(run)
    with scratch(run) as folder:
        for number, wanted in enumerate(PROBES):
            last = number == len(PROBES) - 1 or wanted >= len(train)
            bench = Bench(run, folder / str(wanted))
            try:
                takes, sizes, threads = _probe(run, bench, corpus, wanted, truth)
                break
            except UserError as error:
                if last or not error.what.startswith("the probe says: ") or "no room" in error.what:
                    raise
                _say(f"{wanted} clips are too few here ({error.what.splitlines()[0]}): once more, with more of them")
                shutil.rmtree(bench.folder)
    lines = [line_of(run, take, sizes, threads, take.part in done) for take in takes]
    wall, starts = time.monotonic() - began, _starts(bench, lines, sizes)
    if truth:
        show_truth(lines, truth, run.workers)
    else:
        show(lines, starts, run.workers)
    for sentence in remarks(run, lines, bench.crowded):
        _say(sentence)
    _say(f"done in {span(wall)}, with {run.workers} workers on {usable_cores()} cores; the probe is removed")
    if as_json:
        told = {
            "workers": run.workers,
            "cores": usable_cores(),
            "jobs": lines,
            "starts_seconds": round(starts, 1),
            "free_mb": round(free_bytes(run.runs) / 1e6),
            "others_used_the_cores": bench.crowded,
            "probe_seconds": round(wall, 1),
            "truth": truth,
        }
        print(json.dumps(told, indent=1, ensure_ascii=False))


def _probe(
    run: Run, bench: Bench, corpus: Corpus, wanted: int, truth: dict[str, Any]
) -> tuple[list[Take], Sizes, Threads]:
    """All jobs on a small corpus, one after another, as the user would call them."""
    recordings = [row for row in corpus.rows if row["split"] == "train"]
    train = draw_clips(run.data, recordings, wanted, run.config.seed)
    planned, test = _scaled(run, corpus)
    small, workers = _config(run.config, len(train), planned, run.workers), run.workers
    _say(f"a probe of {len(train)} recordings and {len(test)} of the test, {planned} planned clips, {workers} workers")
    bench.hash_s = _hash_seconds(run, train)
    lay_out(run.data, bench.corpus, train, test)
    sizes = sizes_of(run, corpus, truth.get("epochs", {}))
    bench.config("probe", small)
    jobs = ["prepare", "denoise", "mix", "plan", "extract", "train", "threads", "infer", "evaluate"]
    for number, job in enumerate(jobs, 1):
        name, real = {"plan": ("plan", "mix"), "threads": ("threads", "train")}.get(job, ("probe", job))
        if job == "plan":
            many = {**small, "mix": {**small["mix"], "train_clips": PLANNED, "shard_clips": 1000, "materialise": False}}
            bench.config(name, many)
        if job == "threads":
            few = {**small["runtime"], "workers": 1 if workers > 1 else min(4, usable_cores())}
            if few["workers"] == workers:
                continue
            bench.config(name, {**small, "runtime": few})
        _say(f"{number}/{len(jobs)}  {real}" + (" (a longer plan)" if job == "plan" else ""))
        bench.do(real, name)
    takes = takes_of(bench, small)
    return takes, sizes, _threads(takes, workers)


def _threads(takes: list[Take], workers: int) -> Threads:
    """From the training that was done twice, with other numbers of threads; a GPU does not mind them."""
    for take in reversed(takes):
        if take.step_twice and not take.gpu_mb:
            (few, long), mine = take.step_twice, (workers, take.training.step_s if take.training else 0.0)
            return threads_from(mine, (few, long))
    return Threads(1.0)


def _hash_seconds(run: Run, rows: list[Row]) -> float:
    """What prepare takes to name a recording by its bytes, per recording, in one thread."""
    began = time.perf_counter()
    for row in rows:
        if (run.data / row["path"]).is_file():
            sha256_of(run.data / row["path"])
    return (time.perf_counter() - began) / max(1, len(rows))


def _scaled(run: Run, corpus: Corpus) -> tuple[int, list[Row]]:
    """(planned clips, test recordings) that keep all workers busy for some shards each."""
    steps, size = _steps(run.config), _shard(run.config, run.workers)
    planned = max(steps * run.config.train.batch_clips + 64, 2 * run.workers * size)
    test = [row for row in corpus.rows if row["split"] == "test"]
    wanted = 2 * run.workers * size
    return planned, test[:: max(1, len(test) // wanted)][:wanted]


def _steps(config: Config) -> int:
    return max(2, min(STEPS, 320 // config.train.batch_clips))


def _shard(config: Config, workers: int) -> int:
    """Clips of a shard of features: one batch of infer, so that its memory is seen; fewer on shared cores."""
    most = config.infer.batch_clips if workers <= usable_cores() else config.extract.batch_clips
    return max(4, min(config.extract.shard_clips, most, 64))


def _config(config: Config, clips: int, planned: int, workers: int) -> dict[str, Any]:
    """The user's own, with less to do and no word to anybody."""
    small = config.model_dump(mode="json")
    train = _steps(config) * config.train.batch_clips
    small["prepare"]["shard_clips"] = small["denoise"]["shard_clips"] = max(1, math.ceil(clips / (3 * workers)))
    small["prepare"].update(adapter="contest", table={}, corpora={})  # as the probe lays its recordings out
    small["prepare"]["hold_out"] = "speaker"  # of so few clips sources may be too few to part
    small["test"].update(data=None, corpus="auto", table=None)
    small["mix"].update(train_clips=train, valid_clips=planned - train, shard_clips=1000, corpus_weights={})
    small["mix"].update(noise_dirs=[], rir_dirs=[])  # they cost as much as the bank and computed rooms
    small["extract"]["shard_clips"] = _shard(config, workers)
    small["train"].update(epochs=2, patience=2)
    small["infer"]["model"] = config.infer.model or config.train.models[-1]  # the dearest of the ladder
    small["evaluate"]["final"] = False
    small["runtime"].update(notify=None, heartbeat_s=0.5, grace_s=min(10.0, config.runtime.grace_s / 2))
    return small


@contextmanager
def scratch(run: Run) -> Iterator[Path]:
    """A folder on the disk of RUNS that is gone afterwards; what a killed probe of this host left goes first."""
    run.runs.mkdir(parents=True, exist_ok=True)
    host = os.uname().nodename
    for left in run.runs.glob(f".estimate@{host}@*"):
        if not Path(f"/proc/{left.name.split('@')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = run.runs / f".estimate@{host}@{os.getpid()}@{secrets.token_hex(3)}"

    def clear() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    run.stop.at_the_end.append(clear)
    folder.mkdir()
    try:
        yield folder
    finally:
        clear()
        run.stop.at_the_end.remove(clear)


def _starts(bench: Bench, lines: list[dict[str, Any]], sizes: Sizes) -> float:
    """What passes outside of what the statuses tell: each job loads itself, prepare names all recordings by bytes."""
    todo = {line["job"].split()[0] for line in lines if not line["done"]}
    named = bench.hash_s * sizes.listed / bench.run.workers if "prepare" in todo else 0.0
    return named + sum(seconds for job, seconds in bench.outside.items() if job in todo)


def _say(line: str) -> None:
    print(f"estimate  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(guarded("estimate", main))
