"""Scores the chosen model on validation and, with FINAL=1, on the test labels; writes the report."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.runtime.desk import Desk, at_work
from app.runtime.files import read_json, write_json
from app.runtime.run import Run, job_main
from app.runtime.steps import step
from jobs.chain import need
from jobs.looks import answers_lie_there, answers_mark, check_answers, last_look, log_look, may_look
from jobs.models import chosen_model, part_for, scored_stage, test_of, trained_models
from jobs.seeds import in_words
from jobs.sweep_result import in_words as in_words_of_sweep
from jobs.sweep_result import sweep_of
from jobs.terminal import table

VERSION = 7  # raised when the numbers or the report change
FEW_CLIPS = 200  # below, a score is said to prove nothing


def evaluate(run: Run) -> None:
    """Scores the chosen model on validation and, with FINAL=1, on the test labels; writes the report."""
    evaluated(run)


def evaluated(run: Run, anew: bool = False) -> None:
    """As `evaluate`; anew: even if it is there; with the test, if this model's score on it is known already."""
    model = chosen_model(run)
    for part in ("prepare", "prepare-test", "mix", part_for(model, "")):
        need(run, part)
    look, looks = last_look(run, model), may_look(run)
    if anew and look and not looks:
        check_answers(run, look)
        looks = True
    is_new = looks and (look is None or look.get("answers") not in (None, answers_mark(run)))
    path, basis = run.folder / "report" / "index.html", _basis(run, model, looks)
    metrics = read_json(run.folder / "metrics.json")
    if metrics and metrics.get("basis") == basis and path.exists() and not anew:
        print(f"evaluate  done already  ({run.folder / 'metrics.json'})", file=sys.stderr)
    else:
        desk = Desk(run, path.parent, "evaluate", "evaluate")
        desk.status.update(unit="clips")
        with at_work(desk):
            metrics = _evaluate(run, model, looks, is_new, desk)
            write_json(run.folder / "metrics.json", metrics := {**metrics, "basis": basis})
            desk.say(f"done: {path}")
    _show(metrics)
    print(f"evaluate  report: {path}", file=sys.stderr)
    current = scored_stage(run, model, test_of(run, model)).name
    if run.stages().get("infer") == current and (run.folder / "submission.csv").exists():
        print(f"evaluate  submission: {run.folder / 'submission.csv'}", file=sys.stderr)


def _evaluate(run: Run, model: dict[str, Any], looks: bool, is_new: bool, desk: Desk) -> dict[str, Any]:
    """Scores, and the report; is_new: this look at the test is to be logged."""
    from jobs.reporting import write_report_of

    with step("load libraries"):
        from jobs.scored import prior_of, scored_test_of, validation_of

    scored = validation_of(run, model)
    prior = prior_of(scored[-1])  # calibrate
    if looks:
        scored.insert(0, scored_test_of(run, model))
    evaluations = [_evaluation(run, one, model, prior, desk) for one in scored]
    if is_new:
        log_look(run, model, scored[0])
    notes, data = _notes(run, model, evaluations, looks), [_line(e) for e in evaluations]
    metrics = {"run": run.name, "model": model["name"], "data": data, "notes": notes}
    write_json(run.folder / "metrics.json", metrics)  # the numbers are there, whatever becomes of the page
    write_report_of(run, model, scored, evaluations, notes, desk)
    return metrics


def _notes(run: Run, model: dict[str, Any], evaluations: list[Any], looks: bool) -> list[str]:
    """What is to be known of the numbers."""
    from app.corpora.recordings import tested_folder

    notes = []
    if not looks and answers_lie_there(run):
        notes.append("Validation only: the test labels were not looked at (FINAL=1 does, and each look is logged).")
    elif not looks and not run.data.is_dir():
        notes.append(f"Validation only: the corpus is not here ({run.data}).")
    elif not looks:
        where = tested_folder(run.data, run.config)
        missing = f"there is no {where / run.config.test.labels}" if run.config.test.labels else "test.labels is null"
        notes.append(f"Validation only: this corpus has no test labels ({missing}).")
    small = [e for e in evaluations if e.clips < FEW_CLIPS]
    if small:
        sizes = ", ".join(f"{e.name} {e.clips}" for e in small)
        notes.append(f"Too few clips to judge by ({sizes}): they show that the road works, not how good the model is.")
    if model.get("too_good"):
        notes.append(model["too_good"].capitalize() + ".")
    spread = read_json(run.folder / "seeds.json") or {}
    if spread.get("weights_sha256") == model["weights_sha256"]:
        notes.append(f"{in_words(spread).capitalize()}.")
    if swept := sweep_of(run, Path(model["folder"])):
        notes.append(f"By a sweep: {in_words_of_sweep(swept)}.")
    return notes


def _basis(run: Run, model: dict[str, Any], looks: bool) -> dict[str, Any]:
    """What the numbers rest on: the same again is not computed again."""
    return {
        "version": VERSION,
        "weights": model["weights_sha256"],
        "calibration": model["calibration"],
        "models": [m["weights_sha256"] for m in trained_models(run)],
        "evaluate": run.config.evaluate.model_dump(mode="json"),
        "labels": answers_mark(run) if looks else answers_lie_there(run),
        "seeds": read_json(run.folder / "seeds.json"),
        "sweep": sweep_of(run, Path(model["folder"])),
        "test": test_of(run, model).name if looks else None,
    }


def _evaluation(run: Run, scored: Any, model: dict[str, Any], prior: float, desk: Desk) -> Any:
    from app.scoring.decisions import from_json
    from app.scoring.evaluation import evaluate_scores

    how = run.config.evaluate
    with step("score"):
        return evaluate_scores(
            scored,
            thresholds=from_json(model["thresholds"]),
            prior=prior,
            bins=how.ece_bins,
            resamples=how.bootstrap,
            seed=run.config.seed,
            between=desk.breathe,
        )


def _line(evaluation: Any) -> dict[str, Any]:
    terms = {key: _known(value) for key, value in asdict(evaluation.score).items()}
    return {
        "name": evaluation.name,
        "clips": evaluation.clips,
        **terms,
        "interval": _known(evaluation.interval),
        "ece_floor": list(evaluation.ece_floor),
        "attacks": [{key: _known(value) for key, value in asdict(one).items()} for one in evaluation.attacks],
        "floors": {floor.name: floor.score.score for floor in evaluation.floors},
    }


def _known(value: Any) -> Any:
    """As JSON has it, which knows no nan."""
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


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
