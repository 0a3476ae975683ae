"""Looks at the test's labels: they choose nothing, they must be asked for, and each leaves a line."""

import json
import os
import time
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.files import read_lines, sha256_of
from app.runtime.run import Run

LOOKS = "test_looks.jsonl"  # under RUNS: each look at a test, whichever run's


def answers_lie_there(run: Run) -> bool:
    """In a file beside the test, or in the tables that list it."""
    from app.corpora.recordings import label_files

    return bool(label_files(run.data, run.config)) or bool((run.corpus() or {}).get("answers"))


def answers_mark(run: Run) -> Any:
    """What tells these answers from others: SHA-256 of each file that holds them."""
    from app.corpora.recordings import label_files

    return [sha256_of(path) for path in label_files(run.data, run.config)] or (run.corpus() or {}).get("tables")


def may_look(run: Run) -> bool:
    """Whether the test's answers are there and were asked for. UserError where DATA is another corpus."""
    asked = os.environ.get("FINAL") or "0"
    if asked not in ("0", "1"):
        raise UserError(f"FINAL={asked} is neither 0 nor 1", "FINAL=1 looks at the test labels")
    if not (run.config.evaluate.final or asked == "1") or not answers_lie_there(run):
        return False
    run.check_data()
    return True


def looks_of(runs: Path) -> list[dict[str, Any]]:
    """Every look that is logged, in order."""
    path = runs / LOOKS
    return list(read_lines(path)) if path.exists() else []


def last_look(run: Run, model: dict[str, Any]) -> dict[str, Any] | None:
    """The last one that this model's score on this test is known from."""
    corpus = (run.corpus() or {}).get("test")
    mine = [
        look
        for look in looks_of(run.runs)
        if look["weights_sha256"] == model["weights_sha256"] and look["corpus"] == corpus
    ]
    return mine[-1] if mine else None


def check_answers(run: Run, look: dict[str, Any]) -> None:
    """Raises UserError unless DATA has the answers of that look."""
    if not answers_lie_there(run):
        raise UserError(
            f"{run.data}: the labels of the test are not here, and run {run.name} was scored on them",
            f"DATA=... where they are; the page stays as it is: {run.folder / 'report' / 'index.html'}",
        )
    run.check_data()
    if look.get("answers") not in (None, answers_mark(run)):
        raise UserError(
            f"{run.data}: not the labels that run {run.name} was scored by", "FINAL=1 looks at these, and is logged"
        )


def log_look(run: Run, model: dict[str, Any], scored: Any) -> None:
    """Leaves a line in runs/test_looks.jsonl. scored: what was seen, `app.scoring.scored.Scored` of the test."""
    from app.scoring.metrics import partial_score

    look = {
        "when": time.strftime("%FT%T%z"),
        "run": run.name,
        "corpus": (run.corpus() or {}).get("test"),
        "answers": answers_mark(run),
        "model": model["name"],
        "weights_sha256": model["weights_sha256"],
        "score": partial_score(scored.labels, scored.scores, run.config.evaluate.ece_bins).score,
    }
    with (run.runs / LOOKS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(look) + "\n")
