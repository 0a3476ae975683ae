"""What a sweep has tried, and the page that shows it: score by trial, and by each setting."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app.runtime.files import replacing
from app.scoring.figures import trials_figure
from app.scoring.page import page
from app.scoring.table import Cell, Table, duration


@dataclass(frozen=True)
class Tried:
    """One trial: settings that were tried together, and how that went."""

    number: int  # from 1
    values: dict[str, Any]
    state: str  # done, pruned, diverged, unfinished
    score: float | None  # done: on select, calibrated; else the best epoch's so far, before calibration
    epochs: int
    seconds: float
    folder: str = ""

    @property
    def words(self) -> str:
        return "done" if self.state == "done" else f"{self.state} after epoch {self.epochs}"


@dataclass(frozen=True)
class Sweep:
    """All that the page shows."""

    run: str
    when: str
    model: str
    tried: Sequence[Tried]
    log: frozenset[str]  # settings whose axis is logarithmic
    notes: Sequence[str] = ()


def best_first(tried: Sequence[Tried]) -> list[Tried]:
    """Those that are done by their score, then the others by theirs."""
    return sorted(tried, key=lambda one: (one.state != "done", one.score is None, one.score, one.number))


def write_sweep(path: Path, sweep: Sweep) -> None:
    """Writes the page whole or not at all."""
    settings = list(sweep.tried[0].values)
    rows: list[list[Cell]] = [
        [one.number, one.score, *(in_short(one.values[key]) for key in settings), one.words, duration(one.seconds)]
        for one in best_first(sweep.tried)
    ]
    quiet = [place for place, one in enumerate(best_first(sweep.tried)) if one.state != "done"]
    note = "Those that are not done have the score of their best epoch so far, before calibration."
    table = Table("", ["trial", "score", *settings, "", "took"], rows, note if quiet else "", quiet)
    panels = []
    if any(one.score is not None for one in sweep.tried):  # else all have diverged
        figures = {"trial": trials_figure(points(sweep.tried), "trial", "score by trial", best=True)}
        for key in settings:
            figures[key] = trials_figure(points(sweep.tried, key), key, f"score by {key}", log=key in sweep.log)
        panels = [(f"score by {what}", Markup(figure)) for what, figure in figures.items()]
    text = page("sweep.html.j2", s=sweep, table=table, panels=panels)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def points(tried: Sequence[Tried], key: str | None = None) -> list[tuple[Any, float, bool]]:
    """(value of the setting, or the trial's number; score; whether it is done) of each that has a score."""
    places = [one.number if key is None else one.values[key] for one in tried]
    if not all(isinstance(place, (int, float)) and not isinstance(place, bool) for place in places):
        places = [in_short(place) for place in places]  # names: an axis has one kind of them
    return [
        (place, one.score, one.state == "done")
        for place, one in zip(places, tried, strict=True)
        if one.score is not None
    ]


def in_short(value: Any) -> str:
    """A setting as a cell: 0.00213, true, null, [16, 32]."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
