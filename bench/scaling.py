"""Does a clip cost the same with more workers, and among more clips?

    make bench-scaling          # some 12 minutes on two cores
    python -m bench.scaling [--workers 1 2 4] [--few 2000] [--clips 500 2000 20000] [--json FILE]

Copies of the demo recordings walk from prepare to extract, once for each number of WORKERS and once for each
number of clips; the smallest number comes again at the end, for the machine itself wanders.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.runtime.status import read_status
from bench.facts import about_this_machine
from bench.memory import make_corpus
from jobs.terminal import table

ROOT = Path(__file__).resolve().parents[1]
JOBS = ("prepare", "denoise", "mix", "extract")
CONFIG = """
sample_rate: 16000
mix: {{train_clips: {train}, valid_clips: {valid}}}
extract: {{mel_hz: [40, 7600]}}
runtime: {{yield_to_others: false, device: cpu}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4], metavar="N")
    parser.add_argument("--few", type=int, default=2000, metavar="N", help="clips with each number of workers")
    parser.add_argument("--clips", nargs="+", type=int, default=[500, 2000, 20_000], metavar="N", help="WORKERS=2")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/scaling.json"))
    args = parser.parse_args()
    walks = [(args.few, workers) for workers in args.workers] + [(clips, 2) for clips in [*args.clips, args.clips[0]]]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="scaling-") as scratch:
        machine = about_this_machine(Path(scratch))
        for number, (clips, workers) in enumerate(walks):
            print(f"bench.scaling  {clips} clips, WORKERS={workers}", file=sys.stderr, flush=True)
            rows += walked(Path(scratch) / str(number), clips, workers)
    table(
        "Wall time and time of all workers, a clip",
        [
            {
                "clips": row["clips"],
                "WORKERS": row["workers"],
                "job": row["job"],
                "clips/s": f"{row['clips'] / row['seconds']:.1f}",
                "wall": f"{1000 * row['seconds'] / row['clips']:.2f} ms",
                "workers": f"{1000 * row['busy_s'] / row['clips']:.2f} ms",
                "peak": f"{row['peak_mb']:.0f} MB",
            }
            for row in rows
        ],
    )
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    return 0


def walked(folder: Path, clips: int, workers: int) -> list[dict[str, Any]]:
    """One row a job."""
    data, config = make_corpus(folder / "corpus", clips), folder / "scaling.yaml"
    config.write_text(CONFIG.format(train=round(0.8 * clips), valid=clips - round(0.8 * clips)))
    clean = {key: value for key, value in os.environ.items() if key not in ("RUN", "DATA", "RUNS", "INPUT")}
    words = ["--config", str(config), "--data", str(data), "--runs", str(folder / "runs"), "--workers", str(workers)]
    for job in JOBS:
        subprocess.run(
            [sys.executable, "-m", f"jobs.{job}", *words], cwd=ROOT, env=clean, check=True, stderr=subprocess.DEVNULL
        )
    found = {s["label"]: s for stage in folder.glob("runs/stages/*") for s in read_status(stage)}
    known = ("seconds", "busy_s", "peak_mb")
    shutil.rmtree(folder)
    return [{"job": job, "clips": clips, "workers": workers, **{k: found[job][k] for k in known}} for job in JOBS]


if __name__ == "__main__":
    sys.exit(main())
