"""Kills jobs without mercy and compares what they leave with what an unbroken run leaves, byte by byte.

    python -m tests.chaos [--kills 20] [--jobs denoise extract train infer] [--seed N] [--keep FOLDER]

Each job is killed (kill -9, the job itself or one of its processes) at random moments
after its work has begun, and once at every write, fsync and rename that a shard or a
checkpoint is made of; then it is run again until it is done. Compared is every file of
the runs folder but status, logs, locks, and what timing.jsonl, made.json and speed.json tell of this machine.
"""

import argparse
import hashlib
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
ROAD = ("prepare", "denoise", "mix", "extract", "train", "infer")
BROKEN = ("denoise", "extract", "train", "infer")
CLIPS = 40  # of the demo recordings: enough to be split and mixed, few enough to be killed often
COMMITS = ("shard", "receipt.json", "manifest.jsonl", "failed.jsonl", "noise.jsonl", ".npy", ".safetensors", ".csv",
           "metrics.jsonl", "model.json", "calibration.json")  # fmt: skip
NOT_COMPARED = {"status", "logs", "lock", "timing.jsonl", "made.json", "speed.json", ".live", ".gpus"}
CONFIG = """
sample_rate: 16000
prepare: {valid_fraction: 0.4}
denoise: {shard_clips: 4}
mix: {train_clips: 48, valid_clips: 24}
extract: {mel_hz: [40, 7600], shard_clips: 8, batch_clips: 4}
train: {epochs: 3, batch_clips: 8, cnn_channels: [4, 8], rnn_hidden: 8, checkpoint_minutes: 0.005}
runtime: {nice: 0, yield_to_others: false, heartbeat_s: 0.5}
"""
PATIENCE_S = 300.0


@dataclass
class Tally:
    kills: int = 0
    of_jobs: int = 0
    points: int = 0
    rounds: int = 0
    bytes_compared: int = 0
    files_compared: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills survived ({self.of_jobs} of the job itself, {self.points} at points of a commit), "
            f"{self.rounds} runs compared: {self.files_compared} files, {self.bytes_compared} bytes, all the same"
        )


class Chaos:
    """A folder with the unbroken run, and its state before each job, to begin from again and again."""

    def __init__(self, folder: Path, seed: int, say=print) -> None:
        self.folder, self.random, self.say = folder, random.Random(seed), say
        self.data = make_corpus(folder / "corpus")
        self.config = folder / "chaos.yaml"
        self.config.write_text(CONFIG)
        self.truth: dict[str, dict[str, tuple[int, str]]] = {}
        self.took: dict[str, float] = {}

    def run_unbroken(self, jobs: tuple[str, ...]) -> None:
        runs = self.folder / "unbroken"
        for job in ROAD[: max(ROAD.index(job) for job in jobs) + 1]:
            if job in jobs:
                shutil.copytree(runs, self.folder / f"before-{job}", symlinks=True)
            process = self.start(job, runs, MOKSORI_POINTS=str(self.folder / f"points-{job}"))
            began = self._wait_for_work(process, runs) or time.monotonic()
            self._must(process.wait(PATIENCE_S) == 0, f"the unbroken {job} failed", runs, job)
            self.took[job] = time.monotonic() - began
            if job in jobs:
                self.truth[job] = contents(runs)

    def at_random(self, job: str, kills: int, tally: Tally) -> None:
        """Kills at random moments until there were enough; each time the job gets to its end it is compared."""
        wanted = tally.kills + kills
        while tally.kills < wanted:
            runs = self._fresh(job)
            while True:
                process = self.start(job, runs)
                if self._wait_for_work(process, runs) and tally.kills < wanted:
                    time.sleep(self.random.uniform(0, self.took[job] * 0.8))
                    self._kill(process, tally)
                if process.wait(PATIENCE_S) == 0:
                    break
                self._must(process.returncode == -9, f"{job} ended with {process.returncode}", runs, job)
            self.compare(job, runs, tally)

    def at_points(self, job: str, tally: Tally, most: int | None = None) -> None:
        """Kills once at every point of a write, fsync and rename, each in a run of its own."""
        passed = set((self.folder / f"points-{job}").read_text().splitlines())
        points = sorted(point for point in passed if any(part in point for part in COMMITS))
        if most is not None and len(points) > most:
            points = sorted(self.random.sample(points, most))
        for number, point in enumerate(points):
            runs, mark = self._fresh(job), self.folder / f"mark-{job}-{number}"
            code = self.start(job, runs, MOKSORI_KILL_AT=f"{point}:1:{mark}").wait(PATIENCE_S)
            self._must(code in (0, -9), f"{job}, killed at '{point}', ended with {code}", runs, job)
            if code:
                again = self.start(job, runs)
                self._must(again.wait(PATIENCE_S) == 0, f"{job}, killed at '{point}', does not go on", runs, job)
            self._must(mark.exists(), f"{job}: nobody was killed at '{point}'", runs, job)
            tally.kills, tally.points, tally.of_jobs = tally.kills + 1, tally.points + 1, tally.of_jobs + bool(code)
            self.compare(job, runs, tally)

    def compare(self, job: str, runs: Path, tally: Tally) -> None:
        found, truth = contents(runs), self.truth[job]
        if found != truth:
            other = sorted(set(found.items()) ^ set(truth.items()))
            names = sorted({name for name, _ in other})
            raise AssertionError(f"{job}: {len(names)} files differ from the unbroken run: {names[:5]} ({runs})")
        tally.rounds += 1
        tally.files_compared += len(found)
        tally.bytes_compared += sum(size for size, _ in found.values())
        shutil.rmtree(runs)

    def start(self, job: str, runs: Path, **environment: str) -> subprocess.Popen[bytes]:
        known = ("CONFIG", "RUN", "DATA", "RUNS", "WORKERS", "DEVICE", "INPUT", "MOKSORI_KILL_AT", "MOKSORI_POINTS")
        clean = {key: value for key, value in os.environ.items() if key not in known}
        command = [
            sys.executable,
            "-m",
            f"jobs.{job}",
            "--config",
            str(self.config),
            "--run",
            "chaos",
            "--data",
            str(self.data),
        ]
        log = (self.folder / f"{job}.log").open("ab")
        with log:
            return subprocess.Popen(
                [*command, "--runs", str(runs), "--workers", "2", "--device", "cpu"],
                cwd=ROOT, env={**clean, **environment}, stdout=log, stderr=log,
            )  # fmt: skip

    def _fresh(self, job: str) -> Path:
        runs = self.folder / f"broken-{job}"
        shutil.rmtree(runs, ignore_errors=True)
        shutil.copytree(self.folder / f"before-{job}", runs, symlinks=True)
        return runs

    def _wait_for_work(self, process: subprocess.Popen[bytes], runs: Path) -> float | None:
        """When the job began to work: a shard is being drafted, or a training has its status. None: it is over."""
        began = psutil.Process(process.pid).create_time() if process.poll() is None else math.inf
        while process.poll() is None:
            begun = [*runs.glob("stages/*/shards/.draft@*"), *runs.glob("*/models/*/status/main.json")]
            if any(_changed(path) > began for path in begun):
                return time.monotonic()
            time.sleep(0.01)
        return None

    def _kill(self, process: subprocess.Popen[bytes], tally: Tally) -> None:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        victim = self.random.choice([process.pid] * max(1, len(children)) + [child.pid for child in children])
        try:
            os.kill(victim, 9)
        except ProcessLookupError:
            return
        if victim == process.pid and process.wait() != -9:
            return  # it had just ended
        tally.kills += 1
        tally.of_jobs += victim == process.pid

    def _must(self, right: bool, what: str, runs: Path | None, job: str) -> None:
        if not right:
            log = (self.folder / f"{job}.log").read_text(errors="replace").splitlines()[-15:]
            raise AssertionError("\n".join([f"{what} ({runs})", *log]))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def make_corpus(folder: Path) -> Path:
    """Some of the demo recordings, of every kind of speaker and engine first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "test"):
        shutil.copytree(DEMO / name, folder / name, dirs_exist_ok=True)
    tables = {path.name: path.read_text().splitlines() for path in DEMO.glob("*.csv")}
    speaker = {line.split(",")[0]: line.split(",")[1] for line in tables["meta.csv"][1:]}
    seen: Counter[str] = Counter()
    turn = {}
    for line in tables["train.csv"][1:]:
        id = line.split(",")[0]
        seen[speaker[id]] += 1
        turn[id] = seen[speaker[id]]
    kept = set(sorted(turn, key=lambda id: turn[id])[:CLIPS])
    for name, lines in tables.items():
        rows = lines[1:] if name.startswith(("test", "sample")) else [r for r in lines[1:] if r.split(",")[0] in kept]
        (folder / name).write_text("\n".join([lines[0], *rows]) + "\n")
    return folder


def contents(runs: Path) -> dict[str, tuple[int, str]]:
    """Every file that is compared -> its size and SHA-256; a link -> where it points."""
    found = {}
    for path in sorted(runs.rglob("*")):
        name = path.relative_to(runs)
        if NOT_COMPARED & set(name.parts):
            continue
        if path.is_symlink():
            found[str(name)] = (0, str(path.readlink()))
        elif path.is_file():
            found[str(name)] = (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--kills", type=int, default=20, help="of each job at random moments, besides one at each point"
    )
    parser.add_argument("--jobs", nargs="+", default=list(BROKEN), choices=BROKEN)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is kept; default: one that goes away")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        chaos, total = Chaos(folder, args.seed), Tally()
        chaos.run_unbroken(tuple(args.jobs))
        for job in args.jobs:
            began, tally = time.monotonic(), Tally()
            chaos.at_points(job, tally)
            chaos.at_random(job, args.kills, tally)
            print(f"{job}: {tally}  ({time.monotonic() - began:.0f} s)", flush=True)
            for key, value in vars(tally).items():
                setattr(total, key, getattr(total, key) + value)
    print(f"all: {total}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
