"""The running view: what this machine does, every job, live curves, the best models. Parts of a page, made anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from app.runtime.usage import Usage
from app.scoring.figures import training_figure
from app.scoring.page import part
from app.scoring.report_parts import LOSSES, SCORES
from app.scoring.shown import Panel
from app.scoring.table import Table

SECTIONS = ("machine", "jobs", "curves", "best")


@dataclass(frozen=True)
class Job:
    """One task of a job, in words."""

    name: str
    run: str
    state: str
    progress: str  # 12/40 shards
    share: float | None  # of it that is done
    rate: str
    left: str
    took: str
    memory: str
    host: str
    note: str = ""
    at_work: bool = False


@dataclass(frozen=True)
class View:
    """All that the page shows at one moment."""

    usage: Usage | None = None
    jobs: Sequence[Job] = ()
    panels: Sequence[Panel] = ()  # curves of trainings
    best: Sequence[Table] = ()
    reports: Sequence[tuple[str, str]] = ()  # what it is, address of its page
    trouble: Mapping[str, str] = field(default_factory=dict)  # section -> what is wrong with its files
    more: int = 0  # jobs that ended before those shown


def sections_of(view: View) -> dict[str, str]:
    """Name of a section -> its inside, as markup; all of `view` is shown as text."""
    return {name: part("dashboard_parts.html.j2", name, v=view) for name in SECTIONS}


def curve_panels(run: str, model: str, epochs: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Loss, and score with AUC, of one training by epoch; without an epoch none."""
    return [
        (f"{run}: {model}, {what}", Markup(training_figure(epochs, lines, f"{what} of {model} of {run} by epoch")))
        for what, lines in (("loss", LOSSES), ("score and AUC", SCORES))
        if epochs
    ]
