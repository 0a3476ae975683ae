"""Trains every model of the ladder, from the quickest to the strongest, within BUDGET (30m, 2h), and ranks them."""

import math
import sys
from itertools import islice
from pathlib import Path

from app.config.ladder import LADDER
from app.corpora.manifest import by_split
from app.errors import UserError
from app.runtime.asked import seconds
from app.runtime.desk import Desk, at_work
from app.runtime.job import is_complete
from app.runtime.run import Run, job_main
from app.runtime.series import Series, in_series
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
NOT_TRAINED = "not trained"
FORWARD = 0.4  # of a step's time, what a clip of validation takes


def ladder(run: Run) -> None:
    """Trains every model of the ladder, from the quickest to the strongest, within BUDGET (30m, 2h), and ranks them."""
    limit, left_out, unread = seconds("BUDGET"), dict[str, UserError](), dict[str, UserError]()
    need(run, "mix")
    with in_series(run, "ladder", "models") as series:
        series.take_gpus()
        budget = Budget(limit)  # waiting for a GPU does not count
        for at, name in enumerate(LADDER):
            series.at(at, len(LADDER), budget.left())
            run.stop.leave()
            try:
                _climb(run, name, budget, unread)
            except UserError as error:  # the others may do
                told = error.fix in {other.fix for other in left_out.values()}
                left_out[name] = UserError(f"{NOT_TRAINED}: {error.what}", error.fix)
                series.say(f"{name}: {left_out[name].what if told else left_out[name]}")
        series.at(len(LADDER), len(LADDER))
        _show(series, left_out)


def _climb(run: Run, name: str, budget: Budget, unread: dict[str, UserError]) -> None:
    """Trains it, if it is not there. Raises UserError where it cannot be trained, or not within the budget.

    unread: what could not be extracted, and why; it is not tried again for each model that reads it.
    """
    reads = LADDER[name].reads
    if reads in unread:
        raise unread[reads]
    if not ready_in(model_folder(run, name)):
        _check(run, name, budget)
    if not is_extracted(run, reads):
        try:
            extract_as(run, reads)
        except UserError as error:
            unread[reads] = error
            raise
    train_model(run, name)


def _show(series: Series, left_out: dict[str, UserError]) -> None:
    run = series.run
    ranked = entries_under(run.runs, run.name, only=[model_folder(run, name) for name in LADDER])
    rows = [{"model": name, "other than the best": why.what.splitlines()[0]} for name, why in left_out.items()]
    if not ranked:
        table("Nothing was trained", rows)
        name, last = next(reversed(left_out.items()))
        raise UserError(f"no model was trained; the last one, {name}: {last.what}", last.fix)
    show(ranked, rows)
    best, wanted = ranked[0]["model"], run.config.infer.model
    named = "" if wanted in (None, best) else f"; `make infer` takes {wanted}, which infer.model names"
    series.say(f"{best} is the best of them{named}" if named else f"{best} is what `make infer` takes now")


def _check(run: Run, name: str, budget: Budget) -> None:
    """Raises UserError where it lacks something, before anything is extracted for it, or where it takes too long."""
    if budget.all_s is None:
        _built(run, name)
        return
    more = "a larger BUDGET: what is trained is not trained again"
    if budget.left() <= 0:
        raise UserError(f"the budget of {span(budget.all_s)} is used up", more)
    needed = _needed_s(run, name)
    if needed > budget.left():
        left = f"{span(max(0.0, budget.left()))} of {span(budget.all_s)} are left"
        raise UserError(f"{_about(needed)} at most, {left}", more)


def _needed_s(run: Run, name: str) -> float:
    """At most, for a training may end before its last epoch: probed, for nobody has trained it here."""
    from app.compat import device_within, use_threads
    from app.learning.probing import fit_seconds, step_seconds

    config, rung = run.config, LADDER[name]
    desk = Desk(run, run.folder / "ladder" / "probe", "ladder", f"ladder {name}")
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
