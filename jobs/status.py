"""Shows every job of every run: state, progress, rate, time left, memory, host."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from app.runtime.desk import span
from app.runtime.files import read_json
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
    """One row a task of every stage and every model, the newest last."""
    folders = {path.parent.parent for path in runs.glob("stages/*/status/*.json")}
    users: dict[str, list[str]] = {}
    for path in sorted(runs.glob("*/stages.json")):
        for name in (read_json(path) or {}).values():
            users.setdefault(name, []).append(path.parent.name)
    found = [(status, ", ".join(users.get(f.name, ["–"])), f.name) for f in folders for status in read_status(f)]
    models = {path.parent.parent for path in runs.glob("*/models/*/status/*.json")}
    for folder in (path for path in models if not path.is_symlink()):
        found += [(status, folder.parent.parent.name, folder.name) for status in read_status(folder)]
    return [_row(*item) for item in sorted(found, key=lambda item: item[0]["started"])]


def _row(status: dict[str, Any], run: str, name: str) -> dict[str, Any]:
    eta = status.get("eta_s")
    failed = f" ({status['failed']} failed)" if status["failed"] else ""
    return {
        "job": status["job"] if status["job"] != "train" else f"train {name.rsplit('-', 1)[0]}",
        "run": run,
        "state": status["state"],
        "progress": f"{status['done']}/{status['total']} {status['unit']}",
        "clips": f"{status['clips']}{failed}",
        "rate": f"{status['rate']:.3g}/s" if status["rate"] < 1000 else f"{status['rate']:,.0f}/s",
        "eta": span(eta) if eta is not None and status["state"] == "running" else "–",
        "took": span(status["seconds"]),
        "peak MB": round(status["peak_mb"]),
        "since": time.strftime("%d %b %H:%M", time.localtime(status["started"])),
        "host": status["host"],
    }


if __name__ == "__main__":
    sys.exit(main())
