"""Searches better settings for one model, within BUDGET (2h) or up to N trials; called again, it goes on."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import TrainConfig, values_of
from app.config.ladder import LADDER
from app.config.sections import Domain
from app.errors import Diverged, NoRoom, Pruned, Stopped, UserError
from app.learning.timing import training_seconds
from app.runtime.asked import seconds, whole
from app.runtime.files import fingerprint, read_lines
from app.runtime.run import Run, job_main
from app.runtime.series import Series, in_series
from app.runtime.tell import span
from jobs.budget import Budget
from jobs.chain import model_folder, model_spec, need
from jobs.extract import extract_as, is_extracted
from jobs.train import ready_in, train_model

if TYPE_CHECKING:
    from app.learning.search import Search
    from app.scoring.tried import Tried

CRAMPED = 3  # trials in a row that do not fit into memory
CLOSED = "it is fitted in one go and has nothing to be searched"


@dataclass
class Base:
    """What the trials start from: the config's own settings."""

    run: Run
    model: str
    space: dict[str, Domain]  # those keys that shape this model
    own: dict[str, Any]  # key -> value
    given: dict[str, Any]  # what the config file says

    def run_with(self, values: dict[str, Any]) -> Run:
        """The run, with these settings; the config's own, where they are just that."""
        from app.learning.search import rounded

        changed = {key: value for key, value in values.items() if value != rounded(self.own[key])}
        train = TrainConfig.model_validate_json(self.run.config.train.model_copy(update=changed).model_dump_json())
        return replace(self.run, config=self.run.config.model_copy(update={"train": train}))


def sweep(run: Run) -> None:
    """Searches better settings for one model, within BUDGET (2h) or up to N trials; called again, it goes on."""
    limit, most = seconds("BUDGET"), whole("N")
    if limit is None and most is None:
        raise UserError("a sweep has no end of its own", "BUDGET=2h: so long, N=20: so many trials, or both")
    base = _base(run)
    reads = LADDER[base.model].reads
    if not is_extracted(run, reads):
        for part in ("mix", "denoise", "prepare-test"):  # told before a GPU is waited for
            need(run, part)
    with in_series(run, "sweep", "trials") as series:
        series.take_gpus()
        budget = Budget(limit)  # waiting for a GPU does not count
        if series.locks_work:
            _without_stale_lock(series.folder)
        if not is_extracted(run, reads):
            extract_as(run, reads)
        search = _search(series, base)
        cramped = 0
        while (most is None or search.finished < most) and budget.left() > 0:
            series.at(search.finished, most or 0, budget.left())
            run.stop.leave()
            try:
                if not _trial(base, series, search, budget):
                    break
                cramped = 0
            except NoRoom as error:
                cramped += 1
                if cramped == CRAMPED:  # it is not their settings
                    raise
                search.diverged(error.what)
                series.say(f"trial {search.finished} does not fit: {error.what}")
        series.at(search.finished, most or 0)
        _show(base, series, search.tried())


def _base(run: Run) -> Base:
    from app.learning.search import lies_in
    from app.models.registry import build

    name, given = run.config.sweep.model, values_of(run.config_path)  # before anybody edits it
    rung, model = LADDER[name], build(name, run.config)
    if getattr(model, "trains_in_closed_form", False):
        raise UserError(f"sweep.model: {name}: {CLOSED}", "sweep.model: crnn")
    space = {key: domain for key, domain in run.config.sweep.space.items() if key in rung.keys}
    if not space:
        raise UserError(f"sweep.space: no key of it shapes {name}", f"keys that do: {', '.join(rung.keys)}")
    own = {key: getattr(run.config.train, key) for key in space}
    if own.get("learning_rate", 0) is None and not lies_in(space["learning_rate"], None):
        own["learning_rate"] = model.learning_rate
    own = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}
    return Base(run, name, space, own, given)


def _without_stale_lock(folder: Path) -> None:
    """Of one that was killed while it wrote to the journal: Optuna would wait half a minute for it."""
    for left in folder.glob("journal.log.lock*"):
        left.unlink(missing_ok=True)


def _search(series: Series, base: Base) -> "Search":
    from app.learning.search import Search, lies_in

    run, name = base.run, base.model
    fixed = model_spec(run, name)
    fixed["config"]["train"] = {key: value for key, value in fixed["config"]["train"].items() if key not in base.space}
    space = {key: domain.model_dump(mode="json") for key, domain in base.space.items()}
    study = f"{name}-{fingerprint({**fixed, 'fingerprint': None, 'space': space})}"
    outside = [f"{key} {base.own[key]}" for key, domain in base.space.items() if not lies_in(domain, base.own[key])]
    first, epochs = None if outside else base.own, run.config.train.epochs
    journal, alone = series.folder / "journal.log", series.locks_work
    search = Search(journal, study, base.space, run.config.seed, epochs, first, alone)
    series.say(f"{name}, {search.finished} trials so far: " + ", ".join(map(_in_words, base.space.items())))
    if left := [key for key in run.config.sweep.space if key not in base.space]:
        series.say(f"not searched, for they do not shape {name}: {', '.join(left)}")
    if outside:
        series.say(f"the config's own settings are not tried: {', '.join(outside)} lies outside of sweep.space")
    return search


def _trial(base: Base, series: Series, search: "Search", budget: Budget) -> bool:
    """One trial to its end; False where the time was up before that: it goes on the next time."""
    from app.scoring.tried import best_first, in_short

    run = base.run
    number, values = search.next()
    other = base.run_with(values)
    folder, settings = model_folder(other, base.model), ", ".join(f"{key} {in_short(values[key])}" for key in values)
    done = [one for one in best_first(search.tried()) if one.state == "done"]
    best = f"; best so far {done[0].score:.4f}, trial {done[0].number}" if done else ""
    left = f"{span(budget.left())} left" if budget.all_s is not None else f"{search.finished} done"
    series.say(f"trial {number}: {settings}  ({left}{best})")
    search.note(folder=folder.name)
    lowest = math.inf

    def after_epoch(metrics: dict[str, Any]) -> None:
        nonlocal lowest
        lowest = min(lowest, metrics["select_score"])
        hopeless = search.hopeless(metrics["epoch"], lowest)
        search.note(epochs=metrics["epoch"], seconds=round(training_seconds(folder), 1))
        if hopeless:
            raise Pruned(f"pruned: {lowest:.4f} so far, worse than the median after epoch {metrics['epoch']}")

    try:
        if not ready_in(folder):
            _catch_up(folder, after_epoch)
        with run.stop.for_only(budget.left()):
            ready = train_model(other, base.model, link=False, after_epoch=after_epoch)
    except Diverged as error:
        search.diverged(error.what)
        series.say(f"trial {number} diverged: {error.what}")
        return True
    except Pruned as pruned:
        search.pruned()
        series.say(f"trial {number} {pruned}")
        return True
    except Stopped:
        if run.stop or budget.left() > 0:
            raise
        return False
    search.trained([metrics["select_score"] for metrics in read_lines(folder / "metrics.jsonl")])
    search.note(epochs=ready["epochs"], seconds=round(ready["seconds"], 1))
    search.done(ready["select"]["select_score"])
    return True


def _catch_up(folder: Path, after_epoch: Callable[[dict[str, Any]], None]) -> None:
    """What was trained before a cut; metrics.jsonl may be behind."""
    from app.learning.checkpoint import progress_in

    done = progress_in(folder / "last.safetensors")
    for metrics in done.history if done else ():
        after_epoch(metrics)


def _show(base: Base, series: Series, tried: list["Tried"]) -> None:
    from app.learning.search import rounded
    from app.scoring.tried import best_first
    from jobs.sweep_result import show_sweep

    if not tried:
        series.say("no trial was begun: the time was up before")
        return
    best = best_first(tried)[0]
    best_run = base.run_with(best.values) if best.state == "done" else None
    own = {key: rounded(value) for key, value in base.own.items()}
    log = frozenset(key for key, domain in base.space.items() if domain.log)
    show_sweep(base.run, base.given, base.model, tried, own, best_run, log, series.say)


def _in_words(item: tuple[str, Domain]) -> str:
    key, domain = item
    if domain.choice is not None:
        return f"{key} {' | '.join(map(str, domain.choice))}"
    low, high = domain.log or domain.uniform or (math.nan, math.nan)
    return f"{key} {low:g} to {high:g}{' (log)' if domain.log else ''}"


if __name__ == "__main__":
    sys.exit(job_main(sweep))
