"""What a job asks of a file system's metadata: operations a shard and a job, by kind; and how fast a plan is read.

    python -m bench.metadata [--clips 640 1920] [--shard 64] [--json FILE]

Copies of the demo recordings walk from prepare to extract under strace, WORKERS=1, twice: what the second walk has
more, by its shards, is what a shard costs; the rest is what a job costs. Only paths in RUNS count; the heartbeat is
among them. The plan is read without strace, as each task of extract does. Some two minutes.
"""

import argparse
import collections
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.runtime.shards import rows_of
from bench.facts import about_this_machine
from bench.memory import make_corpus
from jobs.mix import recipes_of
from jobs.terminal import table

ROOT = Path(__file__).resolve().parents[1]
JOBS = ("prepare", "denoise", "mix", "extract")
CONFIG = """
sample_rate: 16000
mix: {{train_clips: {train}, valid_clips: {valid}, shard_clips: {shard}}}
prepare: {{shard_clips: {shard}}}
denoise: {{shard_clips: {shard}}}
extract: {{mel_hz: [40, 7600], shard_clips: {shard}}}
runtime: {{yield_to_others: false, device: cpu}}
"""
# a parallel file system's metadata server hears of these; what is read and written goes to others
KINDS = {
    "create": ("openat+", "mkdir", "mkdirat", "symlink", "symlinkat"),
    "open": ("openat", "open"),
    "rename": ("rename", "renameat", "renameat2"),
    "remove": ("unlink", "unlinkat", "rmdir"),
    "look": ("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat"),
    "list": ("getdents64",),
    "sync": ("fsync", "fdatasync"),
    "lock": ("flock",),
}
KIND_OF = {call: kind for kind, calls in KINDS.items() for call in calls}
ROUNDS = 9  # of reading
CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)$")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.metadata", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", nargs=2, type=int, default=(640, 1920), metavar="N")
    parser.add_argument("--shard", type=int, default=64, help="clips in a shard, of every job")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/metadata.json"))
    args = parser.parse_args()
    if not shutil.which("strace"):
        print("bench.metadata: no strace here\n  fix: sudo apt-get install strace", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="metadata-") as scratch:
        machine = about_this_machine(Path(scratch))
        few, many = (walked(Path(scratch) / str(clips), clips, args.shard) for clips in args.clips)
    rows = []
    for job in JOBS:
        shards = many[job]["shards"] - few[job]["shards"]
        each = {kind: (many[job][kind] - few[job][kind]) / shards for kind in KINDS}
        once = {kind: few[job][kind] - each[kind] * few[job]["shards"] for kind in KINDS}
        rows += [{"job": job, "of": "a shard", **{kind: round(each[kind], 1) for kind in KINDS}}]
        rows += [{"job": job, "of": "the job", **{kind: round(once[kind]) for kind in KINDS}}]
        rows[-2]["all"], rows[-1]["all"] = round(sum(each.values()), 1), round(sum(once.values()))
    table(f"Metadata operations, shards of {args.shard} clips", rows)
    rate = round(many["mix"]["rows_per_s"], -3)
    print(f"the plan is read at {rate:,} rows a second")
    told = {"machine": machine, "shard_clips": args.shard, "rows": rows, "plan_rows_per_s": rate}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def walked(folder: Path, clips: int, shard: int) -> dict[str, dict[str, int]]:
    """Job -> operations by kind, and its shards."""
    data, config, runs = make_corpus(folder / "corpus", clips), folder / "c.yaml", folder / "runs"
    config.write_text(CONFIG.format(train=round(0.8 * clips), valid=clips - round(0.8 * clips), shard=shard))
    clean = {key: value for key, value in os.environ.items() if key not in ("RUN", "DATA", "RUNS", "INPUT")}
    words = ["--config", str(config), "--data", str(data), "--runs", str(runs), "--workers", "1"]
    found = {}
    calls = ",".join(sorted({call.rstrip("+") for call in KIND_OF}))
    for job in JOBS:
        traced = folder / "traced"
        trace = ["strace", "-f", "-qq", "-y", "-s", "300", "-o", str(traced), "-e", f"trace={calls}"]
        done = [*trace, sys.executable, "-m", f"jobs.{job}", *words]
        subprocess.run(done, cwd=ROOT, env=clean, check=True, stderr=subprocess.DEVNULL)
        counted = counted_in(traced, str(runs))
        stages = {path.parents[2] for path in runs.glob(f"stages/{job}*/shards/*/receipt.json")}
        shards = sum(len(list(stage.glob("shards/*/receipt.json"))) for stage in stages)
        found[job] = {**{kind: counted[kind] for kind in KINDS}, "shards": shards}
    [plan] = runs.glob("stages/mix-*")
    rates = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        rows = sum(1 for _ in zip(rows_of(plan), recipes_of(plan), strict=True))
        rates.append(rows / (time.perf_counter() - began))
    found["mix"]["rows_per_s"] = round(statistics.median(rates))
    shutil.rmtree(folder)
    return found


def counted_in(traced: Path, runs: str) -> dict[str, int]:
    """Kind -> how many of strace's lines are such operations on paths below `runs`; calls that failed count too."""
    found: collections.Counter[str] = collections.Counter()
    with traced.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            call = CALL.match(line)
            if call is None or runs not in line or (call[1] == "newfstatat" and "AT_EMPTY_PATH" in line):
                continue
            found[KIND_OF["openat+" if call[1] == "openat" and "O_CREAT" in line else call[1]]] += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
