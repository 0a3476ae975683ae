"""Trains every model of the ladder, from the quickest to the strongest, within BUDGET (30m, 2h), and ranks them."""

import math
import sys
from itertools import islice
from pathlib import Path

from app.config.ladder import LADDER
from app.corpora.manifest import by_split
from app.errors import UserError
from app.runtime.asked import seconds
from app.runtime.desk import Desk, at_work, take_gpus
from app.runtime.job import is_complete
from app.runtime.run import Run, job_main
from app.runtime.shards import rows_of
from app.runtime.status import read_status
from app.runtime.tell import span
from jobs.budget import Budget
from jobs.chain import backgrounds_stage, model_folder, need, stage_of
from jobs.extract import extract_as, is_extracted, windows_about
from jobs.leaderboard import entries_under, show
from jobs.mix import recipes_of
from jobs.terminal import table
from jobs.train import ready_in, train_model
from jobs.training import shared_out

START_S = 10.0  # of a training, beside its steps: libraries, reading, calibration
PROBED = 6  # clips, where none were extracted yet
FORWARD = 0.4  # of a step's time, what a clip of validation takes


def ladder(run: Run) -> None:
    """Trains every model of the ladder, from the quickest to the strongest, within BUDGET (30m, 2h), and ranks them."""
    budget, left_out = Budget(seconds("BUDGET")), dict[str, str]()
    need(run, "mix")
    take_gpus(run, "ladder")
    for name in LADDER:
        run.stop.leave()
        why = "" if ready_in(model_folder(run, name)) else _why_not(run, name, budget)
        if why:
            left_out[name] = why.splitlines()[0]
            print(f"ladder  {name}: not trained: {why}", file=sys.stderr)
            continue
        try:
            if not is_extracted(run, LADDER[name].reads):
                extract_as(run, LADDER[name].reads)
            train_model(run, name)
        except UserError as error:  # the others may do
            left_out[name] = error.what.splitlines()[0]
            print(f"ladder  {name}: {error}", file=sys.stderr)
    mine = {str(model_folder(run, name)) for name in LADDER}
    ranked = [entry for entry in entries_under(run.runs, run.name) if entry["folder"] in mine]
    rows = [{"model": name, "other than the best": f"not trained: {why}"} for name, why in left_out.items()]
    if ranked:
        show(ranked, rows)
        print(f"ladder  {ranked[0]['model']} is what `make infer` takes now", file=sys.stderr)
    else:
        table("Nothing was trained", rows)


def _why_not(run: Run, name: str, budget: Budget) -> str:
    """Why this model is not trained now, and below it what would help; "" where it is."""
    try:
        if budget.all_s is None:
            _built(run, name)  # what it lacks is told before anything is extracted for it
            return ""
        if budget.left() <= 0:
            return f"the budget of {span(budget.all_s)} is used up"
        needed = _needed_s(run, name)
    except UserError as error:
        return str(error)
    if needed <= budget.left():
        return ""
    return f"{_about(needed)} at most, {span(budget.left())} of {span(budget.all_s)} are left"


def _needed_s(run: Run, name: str) -> float:
    """At most, for a training may end before its last epoch: probed, for nobody has trained it here."""
    from app.compat import device_within, use_threads
    from app.learning.probing import fit_seconds, step_seconds

    config, rung = run.config, LADDER[name]
    desk = Desk(run, run.folder / "ladder", "ladder", f"ladder {name}")
    with at_work(desk, gpus=config.runtime.max_gpus):
        use_threads(run.workers)
        device = device_within(config.runtime.device, config.runtime.gpu_memory_share)
        model = _built(run, name)
        fits = fit_seconds(model, config, rung.reads) if model.trains_in_closed_form else 0.0
        step_s = 0.0 if fits else step_seconds(model, config, device, rung.reads)
        extract_s = _extract_s(run, rung.reads)
    epochs = 0 if fits else config.train.epochs
    how, planned = config.train, config.mix
    steps = math.ceil(planned.train_clips / how.batch_clips)
    looks = epochs * planned.valid_clips / 2 + planned.valid_clips
    trains = epochs * steps * step_s + FORWARD * looks * step_s / how.batch_clips
    if how.on_the_fly and epochs:  # rendering goes on beside it, and may be what takes longer
        renderers = max(1, shared_out(config, run.workers, device.type == "cuda")[1])
        trains = max(trains, epochs * extract_s * run.workers / renderers)
    return START_S + fits + trains + (0.0 if is_extracted(run, rung.reads) else extract_s)


def _built(run: Run, name: str):  # type: ignore[no-untyped-def]
    from app.models.registry import build

    return build(name, run.config)


def _extract_s(run: Run, reads: str) -> float:
    """What the features took, where they are there (waves take less: they are the first half of that); else probed."""
    folders: list[Path] = [stage_of(run, part) for part in ("extract", "extract-test")]
    if all(map(is_complete, folders)):
        return sum(status["seconds"] for folder in folders for status in read_status(folder))
    from app.audio.recipe import Recipe
    from app.learning.fresh import Rendering
    from app.learning.probing import clip_seconds

    planned, listed = need(run, "mix"), need(run, "prepare-test")
    rendering = Rendering(run.config, reads, need(run, "denoise"), backgrounds_stage(run))
    one = clip_seconds(rendering, [Recipe.from_row(row) for row in islice(recipes_of(planned), PROBED)])
    windows = sum(windows_about(run.data / row["path"], run.config) for row in by_split(rows_of(listed), "test"))
    return one * (sum(1 for _ in rows_of(planned)) + windows) / run.workers


def _about(needed_s: float) -> str:
    return f"{needed_s / 3600:.1f} h" if needed_s > 5400 else span(needed_s)


if __name__ == "__main__":
    sys.exit(job_main(ladder))
