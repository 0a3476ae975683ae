"""The page that shows two models side by side: where they differ, by how much, and on which clips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from app.runtime.files import replacing
from app.scoring.page import page
from app.scoring.paired import Changed, Difference, Group, Paired
from app.scoring.report_parts import TITLES
from app.scoring.shown import Panel
from app.scoring.svg import FAINT, REAL, plain, svg_of
from app.scoring.table import Cell, Table

MOST_CHANGED = 30  # of a data set


@dataclass(frozen=True)
class Heard:
    """A clip on which they differ, to look at and listen to."""

    changed: Changed
    panels: Sequence[Panel] = ()
    audio: str | None = None  # data URI
    sentence: str = ""  # why there is none


@dataclass(frozen=True)
class Comparison:
    """All that the page shows."""

    first: str  # run/model
    second: str
    when: str
    data: Sequence[Paired]
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # key -> its value in both
    heard: Sequence[Heard] = ()
    notes: Sequence[str] = ()


def write_comparison(path: Path, one: Comparison) -> None:
    """Writes the page whole or not at all; everything in it is shown as text, never as markup."""
    text = page(
        "compared.html.j2",
        c=one,
        settings=_settings(one),
        data=[(each, verdict(each.score, one.second), _panels(each), _tables(one, each)) for each in one.data],
    )
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def verdict(score: Difference | None, second: str) -> str:
    """In a sentence."""
    if score is None:
        return "No score: a column holds one class only."
    if not math.isfinite(score.interval.low):
        return "No interval: too few clips, or evaluate.bootstrap is 0."
    if abs(score.value) < 0.0005:
        return f"{second} scores the same (difference, 95 %: {score.interval.low:+.3f} to {score.interval.high:+.3f})."
    how = "better" if score.value < 0 else "worse"
    low, high = score.interval
    told = f"{second} is {how} by {abs(score.value):.3f} (difference, 95 %: {low:+.3f} to {high:+.3f})"
    return f"{told}." if score.is_clear else f"{told}: these clips cannot tell them apart."


def _settings(one: Comparison) -> Table | None:
    rows: list[list[Cell]] = [[key, str(mine), str(theirs)] for key, (mine, theirs) in one.settings.items()]
    return Table("", ["setting", one.first, one.second], rows) if rows else None


def _panels(each: Paired) -> list[Panel]:
    found = []
    for column, groups in each.groups:
        title = TITLES.get(column, column)
        alt = f"Difference of the Brier score by {title} on {each.name}: " + "; ".join(
            f"{group.name} {group.brier.value:+.3f}" for group in groups
        )
        found.append((f"By {title}", Markup(_figure(groups, alt))))
    return found


def _figure(groups: Sequence[Group], alt: str) -> str:
    def draw(ax: Axes) -> None:
        for place, group in enumerate(groups):
            low, high = group.brier.interval
            if math.isfinite(low):
                ax.hlines(place, low, high, color=REAL, linewidth=1.6)
            filled = REAL if group.brier.is_clear else "none"
            ax.plot(
                group.brier.value, place, marker="o", markersize=6, color=REAL, markerfacecolor=filled, linestyle="none"
            )
        ax.axvline(0, color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        ax.set_yticks(range(len(groups)), [plain(group.name, 18) for group in groups], parse_math=False)
        ax.set(ylim=(len(groups) - 0.5, -0.5), xlabel="Brier score, second less first")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.grid(axis="y", visible=False)

    return svg_of(draw, alt, height=0.9 + 0.3 * len(groups))


def _tables(one: Comparison, each: Paired) -> list[Table]:
    columns = ["", "clips", "difference, 95 %", one.first, one.second]
    rows = [] if each.score is None else [_row("official score", each.score)]
    rows += [_row(f"wrong about a {difference.name}", difference) for difference in each.wrong]
    found = [Table(f"In all, {each.name}", ["measure", *columns[1:]], rows)]
    for column, groups in each.groups:
        title = TITLES.get(column, column)
        scored = [_row(group.name, group.score) for group in groups if group.score is not None]
        if scored:
            found.append(Table(f"Official score by {title}, {each.name}", [title, *columns[1:]], scored))
        briers = [_row(group.name, group.brier) for group in groups]
        found.append(Table(f"Brier score by {title}, {each.name}", [title, *columns[1:]], briers))
    if each.changed:
        found.append(_changed(one, each))
    return found


def _row(name: str, difference: Difference) -> list[Cell]:
    gap, (low, high) = f"{difference.value:+.3f}", difference.interval
    if math.isfinite(low):
        gap += f" ({low:+.3f} to {high:+.3f}){' *' if difference.is_clear else ''}"
    return [name, difference.clips, gap.replace(" ", "\N{NO-BREAK SPACE}"), difference.first, difference.second]


def _changed(one: Comparison, each: Paired) -> Table:
    mended = sum(clip.mended for clip in each.changed)
    more = len(each.changed) - MOST_CHANGED
    return Table(
        f"Changed their mind, {each.name}",
        ["clip", "is there a", "truth", f"p, {one.first}", f"p, {one.second}", "now"],
        [
            [clip.clip, f"{clip.column} voice?", "yes" if clip.label else "no", clip.first, clip.second,
             "right" if clip.mended else "wrong"]
            for clip in each.changed[:MOST_CHANGED]
        ],
        f"{mended} answers are right with {one.second} and wrong with {one.first}, {len(each.changed) - mended} the"
        " other way round; the largest changes come first." + (f" {more} more are left out." if more > 0 else ""),
    )  # fmt: skip
