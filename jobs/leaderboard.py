"""Ranks every trained model of every run by its score on validation. JSON=1 is for scripts; RUN chooses one run.

Scores of other validation clips cannot be compared: each plan of them has a table of its own.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from app.config import leaves_of
from app.config.ladder import LADDER
from app.errors import UserError
from app.learning.timing import training_seconds
from app.runtime.files import read_json
from app.runtime.tell import span
from jobs.pack import guarded
from jobs.status import no_job
from jobs.terminal import table

DIFFERENCES = 3  # of configs, told in a row
OF_ALL = ("seed", "sample_rate", "prepare", "denoise", "mix", "extract")  # what shapes any model

Entry = dict[str, Any]


def main() -> None:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.leaderboard", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--run", default=env("RUN") or None, help="of this run only (RUN)")
    parser.add_argument("--json", action="store_true", default=env("JSON", "0") not in ("", "0"), help="JSON=1")
    args = parser.parse_args()
    found = entries_under(Path(args.runs), args.run)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    elif not found:
        of_run = f" of run {args.run}" if args.run else ""
        raise UserError(f"{args.runs}: no trained model{of_run}", "make train, or RUNS=... where they are")
    else:
        show(found)


def entries_under(
    runs: Path, run: str | None = None, only: Sequence[Path] | None = None, says: bool = True
) -> list[Entry]:
    """Every model that is done, by plan of its validation clips, the largest first; within one the best first.

    only: of these folders, which are then compared with the best of them. says: which it must leave out.
    """
    paths = sorted(runs.glob(f"{run or '*'}/models/*/model.json"))
    folders = [path.parent for path in paths if not path.parent.is_symlink() and (only is None or path.parent in only)]
    found = [_entry(folder) for folder in folders]
    known = [entry for entry in found if entry]
    for left in [str(folder) for folder, entry in zip(folders, found, strict=True) if says and not entry]:
        print(f"leaderboard  {left}: from an older Moksori, it does not tell enough; train it anew", file=sys.stderr)
    sizes = {entry["plan"]: sum(other["plan"] == entry["plan"] for other in known) for entry in known}
    known.sort(key=lambda entry: (-sizes[entry["plan"]], entry["plan"], entry["score"]))
    for _, group in groupby(known, key=lambda entry: entry["plan"]):
        best, *_ = rest = list(group)
        for entry in rest:
            entry["differs"] = differences(entry, best)
    return known


def show(found: Sequence[Entry], more: Sequence[dict[str, Any]] = ()) -> None:
    """A table for each plan. more: rows below the last one, of what was not trained."""
    groups = [(plan, list(of)) for plan, of in groupby(found, key=lambda entry: entry["plan"])]
    for number, (plan, group) in enumerate(groups, 1):
        rows = [_row(place, entry) for place, entry in enumerate(group, 1)]
        if number == len(groups):
            rows += [{**dict.fromkeys(rows[0], ""), **row} for row in more]
        table(f"By score on {group[0]['clips']} validation clips of {plan} (lower is better, calibrated)", rows)


def differences(entry: Entry, best: Entry) -> dict[str, Any]:
    """Keys that shape this model and are other than those of the best one -> [its value, the best one's]."""
    mine, theirs = leaves_of(entry["config"]), leaves_of(best["config"])
    counts = {*OF_ALL, *(f"train.{key}" for key in LADDER[entry["model"]].keys)}
    shaping = [key for key in mine if any(key == one or key.startswith(f"{one}.") for one in counts)]
    return {key: [mine[key], theirs.get(key)] for key in shaping if mine[key] != theirs.get(key)}


def _entry(folder: Path) -> Entry | None:
    ready = read_json(folder / "model.json") or {}
    if not {"plan", "parameters", "trust", "select"} <= ready.keys() or ready["name"] not in LADDER:
        return None
    select, speed = ready["select"], read_json(folder / "speed.json") or {}
    return {
        "run": folder.parents[1].name,
        "model": ready["name"],
        "folder": str(folder),
        "plan": ready["plan"],
        "clips": ready["trust"]["clips"],
        "score": select["select_score"],
        "auc": select["select_auc"],
        "brier": select["select_brier"],
        "ece": select["select_ece"],
        "parameters": ready["parameters"],
        "epochs": ready["epochs"],
        "seconds": round(training_seconds(folder), 1),
        "clips_per_s": speed.get("clips_per_s"),
        "device": ready["device"],
        "config": ready["config"],
    }


def told(differs: dict[str, Any]) -> str:
    """The first few of `differences`, in words."""
    changed = [f"{key} {_brief(mine)}" for key, (mine, _) in differs.items()]
    more = f", and {len(changed) - DIFFERENCES} more" if len(changed) > DIFFERENCES else ""
    return ", ".join(changed[:DIFFERENCES]) + more


def _row(place: int, entry: Entry) -> dict[str, Any]:
    return {
        "": place,
        "run": entry["run"],
        "model": entry["model"],
        "score": entry["score"],
        "AUC": entry["auc"],
        "Brier": entry["brier"],
        "ECE": entry["ece"],
        "numbers learnt": f"{entry['parameters']:,}" if entry["parameters"] else "trees",
        "trained in": span(entry["seconds"]),
        "clips/s": f"{entry['clips_per_s']:.0f} {entry['device']}" if entry["clips_per_s"] else "",
        "other than the best": told(entry["differs"]),
    }


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 30 else f"{text[:27]}..."


if __name__ == "__main__":
    sys.exit(guarded("leaderboard", main))
