"""A small corpus drawn from the user's, and the real jobs at work on it: what `make estimate` measures."""

import csv
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.corpora.manifest import Row
from app.corpora.split import engine_of
from app.errors import ACT, STOPPED, Stopped, UserError
from app.runtime.descendants import Descendants
from app.runtime.load import LoadMeter
from app.runtime.run import Run

ROOT = Path(__file__).resolve().parents[1]
SAID_TO_MAKE = {
    "CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL", "JOB", "WORKERS", "DEVICE", "GPU", "MAX_GPUS", "BUDGET", "N",
}  # fmt: skip
LOOK_S = 0.2
OTHERS = 0.3  # cores of others, from which on the probe is not what it would be alone
SOURCES = 8  # of each label, that are sure to be met


def draw_clips(data: Path, rows: list[Row], wanted: int, seed: int) -> list[Row]:
    """So many training rows by lot, half of them fake, from several engines and speakers; all where there are fewer.

    The largest of each label is among them: by the longest clip goes the memory.
    """
    rng, found = random.Random(seed), []
    for fake in (0, 1):
        lot = rng.sample(mine := [row for row in rows if row["fake"] == fake], len(mine))
        # one of some sources first, for a split needs groups; then as they come, so that length is as in the whole
        first = {engine_of(row["attack"]) or row["speaker"] or row["id"]: row for row in reversed(lot)}
        largest = max(lot, key=lambda row: _size(data / row["path"]))
        chosen = {row["id"]: row for row in (largest, *list(first.values())[:SOURCES], *lot)}
        found += list(chosen.values())[: -(-wanted // 2)]
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def lay_out(data: Path, folder: Path, train: list[Row], test: list[Row]) -> None:
    """A corpus of these rows in the contest layout; test labels are left where they are."""
    _table(folder / "train.csv", ["id", "path", "label"], [[r["id"], r["path"], _label(r)] for r in train])
    if test:
        _table(folder / "test.csv", ["id", "path"], [[row["id"], row["path"]] for row in test])
        _table(folder / "sample_submission.csv", ["id", "fake", "real"], [[row["id"], "0.5", "0.5"] for row in test])
    known = ["speaker", "attack", "language", "parent", "source"]
    if any(row.get(key) for row in train for key in known):
        told = [[row["id"], *(row.get(key) or "" for key in known)] for row in train]
        _table(folder / "meta.csv", ["id", *known], told)
    for row in (*train, *test):
        place = folder / row["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        if (data / row["path"]).is_file():
            shutil.copyfile(data / row["path"], place)  # a link would lead out of the corpus, which is refused


def _label(row: Row) -> str:
    return "fake" if row["fake"] else "real"


def _table(path: Path, head: list[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@dataclass
class Bench:
    """The scratch folder in which the jobs work on the small corpus."""

    run: Run
    folder: Path
    walls: dict[str, float] = field(default_factory=dict)  # of each job's process, from its start to its end
    outside: dict[str, float] = field(default_factory=dict)  # of them, what no status tells
    hash_s: float = 0.0  # to name one recording by its bytes, in one thread
    crowded: bool = False  # others used the cores meanwhile

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def config(self, name: str, values: dict[str, Any]) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        first = self.runs / "probe" / "corpus.json"
        if first.exists():  # another config of the same corpus
            (self.runs / name).mkdir(exist_ok=True)
            shutil.copyfile(first, self.runs / name / "corpus.json")

    def do(self, job: str, name: str = "probe") -> None:
        """The job as make calls it. UserError or Stopped, as the job itself would say."""
        env = {key: value for key, value in os.environ.items() if key not in SAID_TO_MAKE}
        words = ["--config", f"{self.folder / name}.yaml", "--run", name, "--data", str(self.corpus)]
        log = self.folder / f"{name}-{job}.log"
        began, ours, others = time.monotonic(), Descendants(), 0.0
        meter = LoadMeter(os.sched_getaffinity(0), ours())
        with log.open("w", encoding="utf-8") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", f"jobs.{job}", *words, "--runs", str(self.runs)],
                cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            for stop in _looks(child):
                load = meter.look(ours(), {})
                others += max(0.0, load.busy - load.mine.ran)
                if self.run.stop:
                    stop()
            code = child.returncode
        self.walls[f"{name}/{job}"] = wall = time.monotonic() - began
        self.crowded |= others > OTHERS * wall
        self.run.stop.leave()
        said = log.read_text(encoding="utf-8", errors="replace")
        if code == STOPPED:
            raise Stopped(f"the probe of {job} was stopped")
        if code:
            what, _, fix = said[said.rfind(f"{job}: ") :].partition("\n  fix: ")
            if code == ACT and fix:
                raise UserError(f"the probe says: {what.strip()}", fix.strip())
            raise RuntimeError(f"the probe of {job} ended with {code}:\n{said[-3000:]}")


def _looks(child: "subprocess.Popen[bytes]") -> Iterator[Callable[[], None]]:
    """Until it has ended: something to tell it to stop by, once, several times a second."""
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            child.terminate()
        told = True

    try:
        while child.poll() is None:
            try:
                child.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                yield stop
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
