"""Scores the chosen model on validation and, with FINAL=1, on the test labels; writes the report."""

import math
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.config import Config
from app.errors import UserError
from app.features.windows import by_recording
from app.runtime.desk import Desk, at_work
from app.runtime.files import read_json, sha256_of, write_json
from app.runtime.job import is_complete
from app.runtime.run import Run, job_main
from app.runtime.shards import rows_of
from app.runtime.steps import step
from jobs.chain import need
from jobs.models import chosen_model, part_for, scored_stage, test_of, trained_models
from jobs.reporting import report_of
from jobs.seeds import in_words
from jobs.sweep_result import in_words as in_words_of_sweep
from jobs.sweep_result import sweep_of
from jobs.terminal import table
from jobs.valid import read_valid

VERSION = 5  # raised when the numbers or the report change
FEW_CLIPS = 200  # below, a score is said to prove nothing


def evaluate(run: Run) -> None:
    """Scores the chosen model on validation and, with FINAL=1, on the test labels; writes the report."""
    model, looks = chosen_model(run), _may_look(run)
    planned = need(run, part_for(model, ""))
    path, basis = run.folder / "report" / "index.html", _basis(run, model, looks)
    metrics = read_json(run.folder / "metrics.json")
    if metrics and metrics.get("basis") == basis and path.exists():
        print(f"evaluate  done already  ({run.folder / 'metrics.json'})", file=sys.stderr)
    else:
        desk = Desk(run, path.parent, "evaluate", "evaluate")
        desk.status.update(total=1, unit="reports")
        with at_work(desk):
            metrics = _evaluate(run, model, planned, looks, path, basis)
            desk.status.update(done=1)
            desk.say(f"done: {path}")
    _show(metrics)
    print(f"evaluate  report: {path}", file=sys.stderr)
    current = scored_stage(run, model, test_of(run, model)).name
    if run.stages().get("infer") == current and (run.folder / "submission.csv").exists():
        print(f"evaluate  submission: {run.folder / 'submission.csv'}", file=sys.stderr)


def _evaluate(
    run: Run, model: dict[str, Any], planned: Path, looks: bool, path: Path, basis: dict[str, Any]
) -> dict[str, Any]:
    from app.corpora.recordings import tested_folder
    from app.scoring.report import write_report

    notes, evaluations = [], _validation(run, model, planned)
    if looks:
        evaluations.insert(0, _test(run, model, planned))
        _log_look(run, model, evaluations[0])
    elif _answers_lie_there(run):
        notes.append("Validation only: the test labels were not looked at (FINAL=1 does, and each look is logged).")
    else:
        where = tested_folder(run.data, run.config)
        missing = f"there is no {where / run.config.test.labels}" if run.config.test.labels else "test.labels is null"
        notes.append(f"Validation only: this corpus has no test labels ({missing}).")
    small = [e for e in evaluations if e.clips < FEW_CLIPS]
    if small:
        sizes = ", ".join(f"{e.name} {e.clips}" for e in small)
        notes.append(
            f"Plumbing, not proof: so few clips ({sizes}) show that the road works, not how good the model is."
        )
    if model.get("too_good"):
        notes.append(model["too_good"].capitalize() + ".")
    spread = read_json(run.folder / "seeds.json") or {}
    if spread.get("weights_sha256") == model["weights_sha256"]:
        notes.append(f"{in_words(spread).capitalize()}.")
    if swept := sweep_of(run, Path(model["folder"])):
        notes.append(f"By a sweep: {in_words_of_sweep(swept)}.")
    with step("report"):
        write_report(path, report_of(run, model, evaluations, notes))
    metrics = {"run": run.name, "model": model["name"], "basis": basis, "data": [_line(e) for e in evaluations]}
    write_json(run.folder / "metrics.json", {**metrics, "notes": notes})
    return {**metrics, "notes": notes}


def _may_look(run: Run) -> bool:
    """Whether the test's answers are there and may be looked at."""
    asked = os.environ.get("FINAL") or "0"
    if asked not in ("0", "1"):
        raise UserError(f"FINAL={asked} is neither 0 nor 1", "FINAL=1 looks at the test labels")
    if not (run.config.evaluate.final or asked == "1") or not _answers_lie_there(run):
        return False
    run.check_data()
    return True


def _answers_lie_there(run: Run) -> bool:
    """In a file beside the test, or in the tables that list it."""
    from app.corpora.recordings import label_files

    return bool(label_files(run.data, run.config)) or bool((run.corpus() or {}).get("answers"))


def _basis(run: Run, model: dict[str, Any], looks: bool) -> dict[str, Any]:
    """What the numbers rest on: the same again is not computed again."""
    from app.corpora.recordings import label_files

    answers = [sha256_of(path) for path in label_files(run.data, run.config)] or (run.corpus() or {}).get("tables")
    return {
        "version": VERSION,
        "weights": model["weights_sha256"],
        "calibration": model["calibration"],
        "models": [m["weights_sha256"] for m in trained_models(run)],
        "evaluate": run.config.evaluate.model_dump(mode="json"),
        "labels": answers if looks else _answers_lie_there(run),
        "seeds": read_json(run.folder / "seeds.json"),
        "sweep": sweep_of(run, Path(model["folder"])),
        "test": test_of(run, model).name if looks else None,
    }


def _validation(run: Run, model: dict[str, Any], planned: Path) -> list[Any]:
    """Both halves: *select* chose epoch and model, *calibrate* fitted the calibration; neither saw training."""
    from app.scoring.calibration import NONE, Calibration, apply_calibration

    found = []
    for split, (facts, logits) in _halves(model, planned).items():
        found.append(
            _evaluation(
                run.config,
                split,
                [row["id"] for row in facts],
                [[row["fake"], row["real"]] for row in facts],
                apply_calibration(logits, Calibration.from_json(model["calibration"])),
                apply_calibration(logits, NONE),
                {"voices": [_voices(row["state"]) for row in facts]}
                | {key: [row[key] for row in facts] for key in ("state", "attack", "language")},
                model,
                planned,
            )
        )
    return found


def _halves(model: dict[str, Any], planned: Path) -> dict[str, tuple[list[dict[str, Any]], Any]]:
    return read_valid(Path(model["folder"]) / "valid.csv", {row["id"]: row for row in rows_of(planned)})


def _prior(model: dict[str, Any], planned: Path) -> float:
    """Of a single voice to be real, where the model was calibrated."""
    from app.scoring.detection import real_share

    rows, _ = _halves(model, planned)["calibrate"]
    return real_share([[row["fake"], row["real"]] for row in rows], [row["state"] for row in rows])


def _test(run: Run, model: dict[str, Any], planned: Path) -> Any:
    """The test set, from scores/NAME.csv and the corpus' labels; every labelled clip must have a score."""
    from app.corpora.recordings import answers_of

    features = need(run, part_for(model, "test"))
    scored = scored_stage(run, model, features)
    if not is_complete(scored):
        raise UserError(
            f"run {run.name}: {model['name']} has no scores of the test ({scored})", "run `make infer` first"
        )
    scores = by_recording(rows_of(scored))
    for row in rows_of(features, "failed"):
        scores[row["id"]] = tuple(model["prevalence"])
    rows = answers_of(run.data, run.config) or []
    missing = [row["id"] for row in rows if row["id"] not in scores]
    if missing:
        raise UserError(
            f"{run.data}: {len(missing)} labelled test clips have no score ({missing[0]}, ...)",
            "run `make infer` again",
        )
    details = {
        key: [row.get(key) for row in rows] for key in ("state", "attack", "language", "room", "codec", "snr_db")
    }
    details = {"voices": [_voices(row.get("state")) for row in rows], **details}
    ids = [row["id"] for row in rows]
    values = [scores[id] for id in ids]
    targets = [[row["fake"], row["real"]] for row in rows]
    kept = {k: v for k, v in details.items() if any(v)}
    return _evaluation(run.config, "test", ids, targets, values, None, kept, model, planned)


def _voices(state: Any) -> int | None:
    """In a clip, by its state: none, real, fake+fake, ..."""
    return {"": None, "none": 0}.get(state or "", len(str(state).replace("_", "+").split("+")))


def _evaluation(
    config: Config,
    name: str,
    ids: list[str],
    labels: Any,
    scores: Any,
    uncalibrated: Any,
    details: dict[str, list[Any]],
    model: dict[str, Any],
    planned: Path,
) -> Any:
    from app.scoring.decisions import from_json
    from app.scoring.evaluation import evaluate_scores

    how = config.evaluate
    with step("score"):
        return evaluate_scores(
            name,
            ids,
            labels,
            scores,
            uncalibrated=uncalibrated,
            details=details,
            thresholds=from_json(model["thresholds"]),
            prior=_prior(model, planned),
            bins=how.ece_bins,
            resamples=how.bootstrap,
            seed=config.seed,
        )


def _log_look(run: Run, model: dict[str, Any], evaluation: Any) -> None:
    """The test set chooses nothing; whoever looks leaves a line in runs/test_looks.jsonl."""
    import json

    look = {
        "when": time.strftime("%FT%T%z"),
        "run": run.name,
        "corpus": (run.corpus() or {}).get("test"),
        "model": model["name"],
        "weights_sha256": model["weights_sha256"],
        "score": evaluation.score.score,
    }
    with (run.runs / "test_looks.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(look) + "\n")


def _line(evaluation: Any) -> dict[str, Any]:
    terms = {key: None if math.isnan(value) else value for key, value in asdict(evaluation.score).items()}
    return {
        "name": evaluation.name,
        "clips": evaluation.clips,
        **terms,
        "interval": [None if math.isnan(value) else value for value in evaluation.interval],
        "ece_floor": list(evaluation.ece_floor),
        "floors": {floor.name: floor.score.score for floor in evaluation.floors},
    }


def _show(metrics: dict[str, Any]) -> None:
    """Short: one line a data set, the floors beside its score."""
    rows = []
    for data in metrics["data"]:
        constants = {f"if {name}": score for name, score in data["floors"].items()}
        terms = {"AUC": data["auc"], "Brier": data["brier"], "ECE": data["ece"], "ECE by chance": data["ece_floor"][0]}
        rows.append({"data": data["name"], "clips": data["clips"], "score": data["score"], **constants, **terms})
    table(
        f"{metrics['model']}: official score, lower is better, beside constant answers (select, calibrate: validation)",
        rows,
    )
    for note in metrics["notes"]:
        print(f"  {note}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(job_main(evaluate))
