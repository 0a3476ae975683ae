"""Does memory stay flat? The peak of all processes of each job, on few clips and on many.

    python -m bench.memory [--clips 500 10000] [--workers 2] [--json FILE]

Copies of the demo recordings, as many as asked for, walk the road from prepare to evaluate;
half the figures of 10,000 clips take some 25 minutes on two cores. Peaks are proportional
set sizes (PSS), as `make status` shows them: shared pages are counted once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from app.runtime.status import read_status
from jobs.terminal import table

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
JOBS = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate")
CONFIG = """
sample_rate: 16000
prepare: {{valid_fraction: 0.4}}
mix: {{train_clips: {train}, valid_clips: {valid}}}
extract: {{mel_hz: [40, 7600]}}
train: {{epochs: 1}}
infer: {{model: crnn}}
runtime: {{yield_to_others: false, heartbeat_s: 0.1}}
"""
TARGET = 1.1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", nargs=2, type=int, default=(500, 10_000), metavar="N")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also writes the figures there")
    args = parser.parse_args()
    few, many = (peaks(clips, args.workers) for clips in args.clips)
    rows: list[dict[str, str | float]] = []
    for label in few:
        ratio = many[label] / few[label]
        verdict = "flat" if ratio < TARGET else f"grows by more than {TARGET - 1:.0%}"
        rows.append({"job": label, "few MB": few[label], "many MB": many[label], "ratio": round(ratio, 3), "": verdict})
    table(f"Peak memory, all processes, {args.clips[0]} and {args.clips[1]} clips, WORKERS={args.workers}", rows)
    if args.json:
        args.json.write_text(json.dumps({"clips": args.clips, "workers": args.workers, "rows": rows}, indent=1) + "\n")
    return 0 if all(many[label] < TARGET * few[label] for label in few) else 1


def peaks(clips: int, workers: int) -> dict[str, float]:
    """Label of each job's task -> peak MB, over `clips` training, planned and test clips."""
    with tempfile.TemporaryDirectory(prefix="memory-") as scratch:
        folder = Path(scratch)
        data = make_corpus(folder / "corpus", clips)
        config = folder / "memory.yaml"
        config.write_text(CONFIG.format(train=round(0.8 * clips), valid=clips - round(0.8 * clips)))
        clean = {key: value for key, value in os.environ.items() if key not in ("RUN", "DATA", "RUNS", "INPUT")}
        for job in JOBS:
            print(f"bench.memory  {clips} clips: {job}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", f"jobs.{job}", "--config", str(config), "--data", str(data)]
            more = ["--runs", str(folder / "runs"), "--workers", str(workers), "--device", "cpu"]
            subprocess.run([*command, *more], cwd=ROOT, env=clean, check=True, stderr=subprocess.DEVNULL)
        places = ("runs/stages/*", "runs/memory/models/*-*", "runs/memory/report")
        folders = [found for place in places for found in folder.glob(place)]
        return {status["label"]: status["peak_mb"] for one in sorted(folders) for status in read_status(one)}


def make_corpus(folder: Path, clips: int) -> Path:
    """Copies of the demo recordings under names of their own, `clips` to train on and `clips` to test on."""
    tables = {path.name: path.read_text(encoding="utf-8").splitlines() for path in DEMO.glob("*.csv")}
    meta = {line.split(",")[0]: line.split(",")[1:] for line in tables["meta.csv"][1:]}
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        rows, lines = [line.split(",") for line in tables[f"{split}.csv"][1:]], []
        for number in range(clips):
            id, path, *label = rows[number % len(rows)]
            new = f"{id}_{number // len(rows)}"
            shutil.copyfile(DEMO / path, folder / split / f"{new}.ogg")
            lines.append(",".join([new, f"./{split}/{new}.ogg", *label]))
            if split == "train":
                tables["meta.csv"].append(",".join([new, *meta[id]]))
        (folder / f"{split}.csv").write_text("\n".join([tables[f"{split}.csv"][0], *lines]) + "\n")
    (folder / "meta.csv").write_text("\n".join(tables["meta.csv"]) + "\n")
    return folder


if __name__ == "__main__":
    sys.exit(main())
