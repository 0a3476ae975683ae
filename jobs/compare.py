"""Two trainings side by side (RUNS_LIST=a,b or a/crnn,b/crnn): settings, score by slice, clips that changed their mind.

On the validation clips that both have, and on the test if both were looked at on it, or with FINAL=1. Differences come
with intervals of 95 % by paired bootstrap. A page to open, and a table here.
"""

import argparse
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from app.config import leaves_of, read_config
from app.errors import UserError
from app.runtime.files import clear_torn, read_json
from app.runtime.run import Run
from app.runtime.stop import STOP
from jobs.chain import stage_of
from jobs.looks import answers_lie_there, check_answers, last_look, log_look
from jobs.models import chosen_model
from jobs.pack import guarded
from jobs.scored import scored_test_of, validation_of
from jobs.status import no_job
from jobs.terminal import table

MOST_HEARD = 6
SHOWN_GROUPS = 12  # in the terminal
OWN = ("evaluate", "infer", "runtime", "sweep")  # sections that shape no weight


def main() -> None:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.compare", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--list", default=env("RUNS_LIST") or "", help="two runs, or RUN/MODEL: a,b (RUNS_LIST)")
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--data", default=env("DATA") or None, help="the corpus (DATA); default: as prepared")
    args = parser.parse_args()
    runs = Path(args.runs)
    names = [name.strip() for name in args.list.split(",") if name.strip()]
    if len(names) != 2 or names[0] == names[1]:
        there = ", ".join(sorted({path.parts[-4] for path in runs.glob("*/models/*/model.json")})) or "none yet"
        raise UserError(f"RUNS_LIST={args.list}: not two trainings", f"RUNS_LIST=a,b or a/crnn,b/crnn; runs: {there}")
    first, second = (_trained(runs, name, args.data) for name in names)
    compare(first, second, names)


def compare(first: tuple[Run, dict[str, Any]], second: tuple[Run, dict[str, Any]], names: list[str]) -> None:
    """Writes RUN/report/beside-OTHER.html of the first one, and says what came out."""
    from app.scoring.compared import Comparison, verdict, write_comparison
    from app.scoring.paired import paired

    run, how = first[0], first[0].config.evaluate
    pairs, notes = _pairs(first, second, names)
    data = [paired(a, b, how.bootstrap, run.config.seed, how.ece_bins) for a, b in pairs]
    folder = run.folder / "report"
    folder.mkdir(exist_ok=True)
    clear_torn(folder)
    path = folder / page_name(*names)
    heard, unheard = _heard(first, data, names[0])
    notes += unheard
    page = Comparison(names[0], names[1], time.strftime("%F %H:%M"), data, _settings(first, second), heard, notes)
    write_comparison(path, page)
    _show(data, names)
    for each in data:
        print(f"  {each.name}: {verdict(each.score, names[1])}", file=sys.stderr)
    for note in notes:
        print(f"  {note}", file=sys.stderr)
    print(f"compare  page: {path}", file=sys.stderr)


def page_name(first: str, second: str) -> str:
    """Of the page beside the first one's report: beside-b.html; of a/crnn and b/crnn beside-b-crnn--crnn.html."""
    model = f"--{first.partition('/')[2]}" if "/" in first else ""
    name = re.sub(r"[^\w.-]", "-", second + model)
    return f"beside-{name}.html"


def _trained(runs: Path, name: str, data: str | None) -> tuple[Run, dict[str, Any]]:
    """The run as it is now, and the model that speaks for it or the one that was named, by its folder."""
    run_name, _, model_name = name.partition("/")
    folder = runs / run_name
    path = folder / "config.yaml"
    if not path.is_file():
        there = ", ".join(sorted(path.parent.name for path in runs.glob("*/config.yaml"))) or "none yet"
        raise UserError(f"{runs} has no run {run_name}", f"RUNS_LIST=a,b; runs: {there}")
    known = data or (read_json(folder / "corpus.json") or {}).get("data") or "data"
    where = Path(known) if data else Path(os.path.normpath(folder / known))
    run = Run(run_name, read_config(path, {}), path, where, runs, STOP)
    if not model_name:
        return run, chosen_model(run)
    place = folder / "models" / model_name
    if model := read_json(place / "model.json"):
        return run, {**model, "folder": str(place)}
    trained = ", ".join(sorted(path.parent.name for path in folder.glob("models/*/model.json"))) or "none"
    raise UserError(f"run {run_name} has no trained {model_name}", f"trained: {trained}")


def _pairs(
    first: tuple[Run, dict[str, Any]], second: tuple[Run, dict[str, Any]], names: list[str]
) -> tuple[list[Any], list[str]]:
    """Data sets that both answered: the test, select and calibrate. And what is to be known of them."""
    found, notes = [], list[str]()
    plans = {one[1].get("plan") for one in (first, second)}
    now = {stage_of(run, "mix").name for run, _ in (first, second)}
    try:
        found += _tests(first, second)
    except UserError as error:
        notes.append(f"The test is left out: {error.what} ({error.fix}).")
    if len(plans) > 1 or None in plans:
        notes.append("Their validation clips are not the same (another seed, prepare, denoise or mix).")
    elif plans != now:
        whose = " and ".join(dict.fromkeys(run.name for run, _ in (first, second)))
        notes.append(f"Their validation clips are not those that {whose} plans now: the config has changed since.")
    else:
        found += map(list, zip(validation_of(*first), validation_of(*second), strict=True))
        notes.append(
            "select chose the epochs of both, calibrate fitted their calibration. The intervals know of other"
            " clips, not of other voices: with few speakers they are too narrow."
        )
    if not found:
        raise UserError(
            f"{names[0]} and {names[1]} have no clips in common: {notes[-1]}",
            "train both on one plan of clips, or compare them on the test: FINAL=1",
        )
    return found, notes


def _tests(first: tuple[Run, dict[str, Any]], second: tuple[Run, dict[str, Any]]) -> list[list[Any]]:
    """The test as both answered it, if they were looked at on it or FINAL=1. UserError says why there is none."""
    tests = [(run.corpus() or {}).get("test") for run, _ in (first, second)]
    if not answers_lie_there(first[0]):
        return []
    if tests[0] is None or tests[0] != tests[1]:
        raise UserError("they were prepared for different ones", "compare models of one test")
    looks = [last_look(*one) for one in (first, second)]
    if None in looks and os.environ.get("FINAL", "0") != "1":
        raise UserError("not both were looked at on it", "FINAL=1 does, and each look is logged")
    for (run, _), look in zip((first, second), looks, strict=True):
        check_answers(run, look or {})
    scored = [scored_test_of(*one) for one in (first, second)]
    for one, look, seen in zip((first, second), looks, scored, strict=True):
        if look is None:
            log_look(*one, seen)
    return [scored]


def _settings(first: tuple[Run, dict[str, Any]], second: tuple[Run, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Keys of the configs they were trained with, where they differ in what shapes a model."""
    mine, theirs = (leaves_of(model["config"]) for _, model in (first, second))
    keys = [key for key in {**mine, **theirs} if key.split(".")[0] not in OWN]
    found = {key: (mine.get(key), theirs.get(key)) for key in keys if mine.get(key) != theirs.get(key)}
    threads = [(read_json(Path(model["folder"]) / "speed.json") or {}).get("threads") for _, model in (first, second)]
    if threads[0] != threads[1]:  # sums are taken in another order: the same settings give other weights
        found["threads (WORKERS)"] = (threads[0], threads[1])
    if first[1]["name"] != second[1]["name"]:
        found = {"model": (first[1]["name"], second[1]["name"]), **found}
    return found


def _heard(first: tuple[Run, dict[str, Any]], data: list[Any], by: str) -> tuple[list[Any], list[str]]:
    """The clips that changed most, each once, with spectrogram and sound; and why there are none."""
    from app.learning.scorer import ModelFolder
    from app.scoring.compared import Heard
    from app.scoring.shown import spectrogram_panel
    from jobs.clips import flac, picture_of, sounds_of_picks

    run, model = first
    changed = sorted(
        ((each.name, one) for each in data for one in each.changed),
        key=lambda named: -abs(named[1].second - named[1].first),
    )
    once = list({(name, one.clip): (name, one) for name, one in reversed(changed)}.values())[::-1][:MOST_HEARD]
    try:
        folder = ModelFolder(Path(model["folder"]))
    except UserError as error:
        return [], [f"Without clips to look at and listen to: {error.what}."]
    found, picks = [], [_pick(name, one) for name, one in once]
    for (_, one), (picked, sound) in zip(once, sounds_of_picks(run, model, picks), strict=True):
        if isinstance(sound, str):
            found.append(Heard(one, sentence=sound))
        else:
            panel = spectrogram_panel(picked, picture_of(folder, sound.samples))
            part = f"{sound.part} by {by}" if sound.part else ""
            found.append(Heard(one, [panel], flac(sound.samples, folder.config.sample_rate), part))
    return found, []


def _pick(data: str, one: Any) -> Any:
    """Whose window is looked for in the column that changed."""
    from app.scoring.scored import MISTAKE, Picked

    off = 1.0 - one.label
    if one.column == "fake":
        return Picked(data, MISTAKE, one.clip, one.label, 0, off, 0.0)
    return Picked(data, MISTAKE, one.clip, 0, one.label, 0.0, off)


def _show(data: list[Any], names: list[str]) -> None:
    rows = []
    for each in data:
        if each.score is not None:
            rows.append(_row(each.name, "all", each.score, names))
    table(f"Official score (lower is better): {names[0]} and {names[1]}", rows, names)
    groups = [(each.name, column, group.brier) for each in data for column, some in each.groups for group in some]
    groups = list(
        {
            (name, one.clips, one.first, one.second): (name, column, one)
            for name, column, one in groups
            if math.isfinite(one.interval.low)
        }.values()
    )  # the same clips under two names count once
    clear = sorted((one for one in groups if one[2].is_clear), key=lambda one: -abs(one[2].value))
    if clear:
        rows = [_row(name, f"{column} {one.name}", one, names) for name, column, one in clear[:SHOWN_GROUPS]]
        found = f"{len(clear)} of {len(groups)}, by chance 1 in 20; by the seed alone: make seeds"
        table(f"Groups in which they differ (Brier score): {found}", rows, names)


def _row(name: str, what: str, one: Any, names: list[str]) -> dict[str, Any]:
    interval = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}"
    return {"data": name, "clips of": what, "clips": one.clips, names[0]: one.first, names[1]: one.second,
            "difference": one.value, "95 %": interval}  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded("compare", main))
