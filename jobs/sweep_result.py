"""What a sweep has found: a table, a page, sweep.json for scripts and the report, best.yaml to go on with."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from app.runtime.files import read_json, write_atomic, write_json
from app.runtime.run import Run
from app.runtime.shards import rows_of
from app.runtime.tell import span
from app.scoring.calibration import apply_calibration, choose_calibration
from app.scoring.metrics import official_score
from app.scoring.tried import Sweep, Tried, best_first, in_short, write_sweep
from jobs.chain import need
from jobs.terminal import table
from jobs.valid import read_valid


def show_sweep(
    run: Run,
    given: dict[str, Any],
    model: str,
    tried: list[Tried],
    own: dict[str, Any],
    best_run: Run | None,
    log: frozenset[str],
    say: Callable[[str], None],
) -> None:
    """Writes it into runs/RUN/sweep and tells it.

    given: what the config file said when the sweep began.
    own: the config's own settings; best_run: the run with those of the best trial; log: settings on a logarithmic axis.
    """
    folder, ranked = run.folder / "sweep", best_first(tried)
    told: dict[str, Any] = {
        "model": model,
        "own": own,
        "best": None,
        "unseen": {},
        "tried": [asdict(one) for one in tried],
    }
    notes = []
    if best_run:
        best, mine = ranked[0], next((one for one in ranked if one.state == "done" and one.values == own), None)
        judged = {what: one for what, one in (("best", best), ("own", mine)) if one}
        unseen = {what: _unseen(run, one.folder) for what, one in judged.items() if _is_there(run, one)}
        told |= {"best": best.number, "unseen": unseen}
        write_best(folder / "best.yaml", given, best_run, best)
        notes = [in_words(told)]
        gone = {one.number: f"models/{one.folder}" for one in judged.values() if not _is_there(run, one)}
        notes += [f"{folder} of trial {number} is gone: no score on calibrate" for number, folder in gone.items()]
        notes.append(f"to go on with it: CONFIG={folder / 'best.yaml'} RUN={run.name} make infer (evaluate, seeds)")
    unfinished = [one for one in tried if one.state == "unfinished"]
    if unfinished:
        notes.append(f"trial {unfinished[0].number} is not finished: the same command goes on with it")
    write_json(folder / "sweep.json", told)
    write_sweep(folder / "index.html", Sweep(run.name, time.strftime("%F %H:%M"), model, tried, log, notes))
    rows = [
        {"trial": one.number, "score": one.score}
        | {key: in_short(value) for key, value in one.values.items()}
        | {"": one.words, "took": span(one.seconds)}
        for one in ranked
    ]
    table(f"{model}, trials by their score on select (lower is better)", rows)
    for note in [*notes, f"to look at: {folder / 'index.html'}"]:
        say(note)


def in_words(told: dict[str, Any]) -> str:
    """What sweep.json comes to, where a trial is done."""
    best = next(one for one in told["tried"] if one["number"] == told["best"])
    ended = sum(one["state"] != "unfinished" for one in told["tried"])
    unseen = told["unseen"]
    flattered = (
        f"trial {best['number']} is the best of {ended}: {best['score']:.4f} on select, which flatters it, for it was "
        "chosen there"
    )
    if "best" not in unseen:
        return flattered
    own = f", the config's own settings {unseen['own']:.4f}" if "own" in unseen else ""
    if own and best["values"] != told["own"] and unseen["best"] >= unseen["own"]:
        own += ": keep those, the others were better by chance"
    return f"{flattered}; on calibrate, which chose nothing, {unseen['best']:.4f}{own}"


def sweep_of(run: Run, folder: Path) -> dict[str, Any] | None:
    """sweep.json, where the model in this folder is the best one of it."""
    told: dict[str, Any] = read_json(run.folder / "sweep" / "sweep.json") or {}
    chosen = next((one for one in told.get("tried", []) if one["number"] == told["best"]), None)
    return told if chosen and chosen["folder"] == folder.name else None


def write_best(path: Path, given: dict[str, Any], run: Run, best: Tried) -> None:
    """The config as the user gave it, and what was asked beside it, with the settings of this trial.

    given: what its file said when it was read; by now it may say something else.
    """
    values = copy.deepcopy(given)
    for key, (value, _) in run.asked.items():
        if not key.startswith("runtime."):
            _put(values, key, value)
    train = run.config.train.model_dump(mode="json")
    for key in best.values:
        _put(values, f"train.{key}", train[key])
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    write_atomic(path, f"# Trial {best.number} of `make sweep`: {best.score:.4f} on select\n{text}")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        values[parent] = values = values.get(parent) or {}
    values[leaf] = value


def _is_there(run: Run, one: Tried) -> bool:
    return (run.folder / "models" / one.folder / "valid.csv").exists()


def _unseen(run: Run, folder: str) -> float:
    """Score on *calibrate*, calibrated on *select*: by the half that chose no trial."""
    planned = {row["id"]: row for row in rows_of(need(run, "mix"))}
    of = read_valid(run.folder / "models" / folder / "valid.csv", planned)
    labels = {split: [[row["fake"], row["real"]] for row in rows] for split, (rows, _) in of.items()}
    fitted = choose_calibration(of["select"][1], labels["select"], run.config.seed)
    return official_score(labels["calibrate"], apply_calibration(of["calibrate"][1], fitted)).score
