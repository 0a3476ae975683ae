"""One HTML file that tells how a run went: no network, no script, readable on a phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.runtime.files import replacing
from app.scoring.data_parts import mixed_panels, shortcut_panels
from app.scoring.evaluation import Evaluation
from app.scoring.page import page
from app.scoring.report_parts import (
    Training,
    attack_table,
    clip_groups,
    curve_panels,
    decision_table,
    single_table,
    slice_parts,
    terms_table,
    training_panels,
)
from app.scoring.shown import ShownClip
from app.scoring.table import Table
from app.scoring.words import WORDS


@dataclass(frozen=True)
class ModelRow:
    """One trained model. calibration: (fake, real), in words."""

    name: str
    select_score: float | None
    calibration: tuple[str, str] | None
    seconds: float | None
    chosen: bool = False


@dataclass(frozen=True)
class JobRow:
    """One job of the run, as its status files tell."""

    job: str
    clips: int | None
    failed: int | None
    seconds: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class Report:
    """All that the page shows; any part may be empty, and is then left out."""

    run: str
    when: str
    evaluations: Sequence[Evaluation] = ()
    notes: Sequence[str] = ()
    others: Table | None = None  # trainings on the same validation clips
    other_scores: Sequence[float] = ()  # theirs on select
    looks: Table | None = None  # at this test
    clips: Sequence[ShownClip] = ()
    clip_notes: Sequence[str] = ()
    models: Sequence[ModelRow] = ()
    training: Training = field(default_factory=dict)
    audit: Sequence[str] = ()
    shortcuts: Sequence[tuple[str, float]] = ()  # plain fact, AUC with which it tells the label
    audit_table: Table | None = None
    splits: Table | None = None
    groups: Sequence[Table] = ()  # recordings by attack, by language
    mix: Table | None = None
    mixed: Mapping[str, Sequence[object]] = field(default_factory=dict)  # detail of validation clips -> a value a clip
    jobs: Sequence[JobRow] = ()
    commands: Sequence[str] = ()
    config_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_report(path: Path, report: Report) -> None:
    """Writes the page whole or not at all; everything in `report` is shown as text, never as markup."""
    text = render(report)
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def render(report: Report) -> str:
    """The page as a string."""
    return page(
        "report.html.j2",
        r=report,
        training=training_panels(report.training),
        curves=curve_panels(report.evaluations),
        slices=slice_parts(report.evaluations),
        terms=terms_table(report.evaluations),
        decisions=decision_table(report.evaluations),
        single=single_table(report.evaluations),
        attacks=attack_table(report.evaluations),
        shortcuts=shortcut_panels(report.shortcuts),
        mixed=mixed_panels(report.mixed),
        clips=clip_groups(report.clips),
        words=WORDS,
    )
