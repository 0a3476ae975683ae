"""Shows every job of every run: state, progress, rate, time left, memory, host."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from app.runtime.desk import span
from app.runtime.status import read_status
from jobs.terminal import table


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.status", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--runs", default=os.environ.get("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    rows = status_rows(Path(parser.parse_args().runs))
    if not rows:
        print("no job has run yet; `make demo` runs all of them", file=sys.stderr)
    table("Jobs", rows)
    return 0


def status_rows(runs: Path) -> list[dict[str, Any]]:
    """One row a task of every stage and every model, in the order of their start: what runs now stands last."""
    folders = {path.parent.parent for path in runs.glob("stages/*/status/*.json")}
    models = {path.parent.parent for path in runs.glob("*/models/*/status/*.json")}
    folders |= {path for path in models if not path.is_symlink()}
    found = [status for folder in folders for status in read_status(folder)]
    return [_row(status) for status in sorted(found, key=lambda status: status["started"])]


def _row(status: dict[str, Any]) -> dict[str, Any]:
    """Fits a terminal of 80 columns, for usual names."""
    eta = status.get("eta_s")
    failed = f", {status['failed']} failed" if status["failed"] else ""
    return {
        "job": status["label"],
        "run": status["run"],
        "state": status["state"],
        "progress": f"{status['done']}/{status['total']}",
        "clips": f"{status['clips']}{failed}",
        "left": span(eta) if eta is not None and status["state"] == "running" else "–",
        "took": span(status["seconds"]),
        "MB": round(status["peak_mb"]),
        "host": status["host"],
    }


if __name__ == "__main__":
    sys.exit(main())
