"""Tables of the report: other trainings, looks at the test, recordings by split, what every job took."""

from collections import Counter
from pathlib import Path
from typing import Any

from app.runtime.job import counts, is_complete
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.runtime.status import read_status
from app.scoring.table import Table, as_table
from jobs.chain import extracted_by, stage_of
from jobs.leaderboard import differences, entries_under, told
from jobs.looks import looks_of
from jobs.models import chosen_model, scored_stage, test_of

MOST_OTHERS = 8
MOST_VALUES = 60


def others(run: Run, model: dict[str, Any]) -> list[dict[str, Any]]:
    """Trainings on the same plan of validation clips, of any run: the best ones, and this one."""
    mine = Path(model["folder"])
    entries = [entry for entry in entries_under(run.runs, says=False) if entry["plan"] == model.get("plan")]
    this = next((entry for entry in entries if Path(entry["folder"]) == mine), None)
    if this is None or len(entries) < 2:
        return []
    found = []
    for place, entry in enumerate(entries, 1):
        if place <= MOST_OTHERS or entry is this:
            changed = told(differences(entry, this)) if entry is not this else "this one"
            row = {"run": entry["run"], "model": entry["model"], "score on select": entry["score"]}
            found.append({**row, "AUC": entry["auc"], "other than this one": changed, "clips": entry["clips"]})
    return found


def looks(run: Run) -> list[dict[str, Any]]:
    """What is logged of looks at this test."""
    corpus = (run.corpus() or {}).get("test")
    return [
        {
            "when": look["when"][:16].replace("T", " "),
            "run": look["run"],
            "model": look["model"],
            "score": look["score"],
        }
        for look in looks_of(run.runs)
        if look.get("corpus") == corpus
    ]


def recordings_by(prepared: Path, key: str) -> Table | None:
    """As `by_split`, of the MOST_VALUES that most recordings have."""
    rows = by_split(prepared, key)
    more = len(rows) - MOST_VALUES
    note = f"{more} more, of fewer recordings, are left out." if more > 0 else ""
    what = "speaker or synthetic voice" if key == "speaker" else key
    return as_table(f"Recordings by {what} ({len(rows)})", rows[:MOST_VALUES], note)


def by_split(prepared: Path, key: str) -> list[dict[str, Any]]:
    """Value of `key` -> recordings in each split, the most frequent first; none where it is not known."""
    counts: dict[str, Counter[str]] = {}
    for row in rows_of(prepared, shard="manifest"):
        if row[key]:
            counts.setdefault(row[key], Counter())[row["split"]] += 1
    splits = [name for name in ("train", "select", "calibrate") if any(name in count for count in counts.values())]
    names = sorted(counts, key=lambda name: (-counts[name].total(), name))
    return [{key: name, **{split: counts[name][split] for split in splits}} for name in names]


def job_rows(stages: dict[str, Path], models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Time, memory and clips of every part of the run, from its status files: of all its tasks together."""
    parts: list[tuple[str, Path, int | None, int | None]]
    parts = [(part, folder, *counts(folder)) for part, folder in stages.items() if part != "infer"]
    parts += [(f"train {model['name']}", Path(model["folder"]), None, None) for model in models]
    parts += [("infer", stages["infer"], *counts(stages["infer"]))] if "infer" in stages else []
    found = []
    for part, folder, clips, failed in parts:
        tasks = read_status(folder)
        if tasks:
            took = {
                "seconds": sum(t["seconds"] for t in tasks),
                "peak_mb": max(t["peak_mb"] or 0 for t in tasks) or None,
            }
            found.append({"job": part, "clips": clips, "failed": failed, **took})
    return found


def stages_of(run: Run) -> dict[str, Path]:
    """The stages of this very config, as far as they are done, in flow order."""
    parts = ("prepare", "prepare-test", "denoise", "mix", *extracted_by(run))
    found = {part: stage_of(run, part) for part in parts}
    model = chosen_model(run)
    found["infer"] = scored_stage(run, model, test_of(run, model))
    return {part: folder for part, folder in found.items() if is_complete(folder)}
