"""Figures as SVG for one page: no pyplot, no text from outside, colours that follow the page.

Every colour is a stand-in that becomes a CSS variable of the page, so that one
figure is legible in light and in dark.
"""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from app.scoring.curves import Reliability, Roc

INK, FAINT, GRID, FAKE, REAL = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05"
VARIABLES = {INK: "--ink", FAINT: "--faint", GRID: "--grid", FAKE: "--fake", REAL: "--real"}
COLOUR = {"fake": FAKE, "real": REAL}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def roc_figure(curves: Sequence[Roc], alt: str) -> str:
    """ROC of the columns, as an SVG element; chance is the diagonal."""

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        for curve in curves:
            ax.plot(
                curve.false_alarms, curve.hits, color=COLOUR[curve.column], label=f"{curve.column}, AUC {curve.auc:.3f}"
            )
        _unit_square(ax)
        ax.set(xlabel="false alarms", ylabel="hits")
        ax.legend(loc="lower right")

    return _svg(draw, alt)


def reliability_figure(before: Reliability | None, after: Reliability, alt: str) -> str:
    """Share of positives against mean score, before and after calibration; bars are shares of the clips."""

    def draw(ax: Axes) -> None:
        colour = COLOUR[after.column]
        total = sum(after.clips)
        ax.bar(after.predicted, [c / total for c in after.clips], width=0.03, color=colour, alpha=0.22, linewidth=0)
        ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        if before is not None:
            style: Any = {"color": FAINT, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
            ax.plot(before.predicted, before.observed, label="before", **style)
        ax.plot(after.predicted, after.observed, color=colour, marker="o", markersize=4.5, label="after")
        _unit_square(ax)
        ax.set(xlabel=f"mean p_{after.column}", ylabel=f"share with a {after.column} voice")
        if before is not None:
            ax.legend(loc="upper left")

    return _svg(draw, alt)


def training_figure(epochs: Sequence[Mapping[str, float | None]], lines: Mapping[str, str], alt: str) -> str:
    """Numbers by epoch.

    lines: key of `epochs` -> label, the main one last. Missing, None or nan is left out.
    """

    def draw(ax: Axes) -> None:
        for (key, label), colour in zip(lines.items(), (FAINT, REAL), strict=False):
            points = [(row.get("epoch", i), row.get(key)) for i, row in enumerate(epochs)]
            drawn = [(x, y) for x, y in points if x is not None and y is not None and math.isfinite(y)]
            if drawn:
                ax.plot(*zip(*drawn, strict=True), color=colour, marker="o", markersize=3.5, label=label)
        ax.set(xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="best")

    return _svg(draw, alt)


def trials_figure(
    points: Sequence[tuple[Any, float, bool]], what: str, alt: str, log: bool = False, best: bool = False
) -> str:
    """Scores of trials.

    points: (place on the x axis, a number or a name; score; trained to its end). best: a line of the best one so far.
    """

    def draw(ax: Axes) -> None:
        names = sorted({x for x, *_ in points if isinstance(x, str)})
        for done in (True, False):
            there = [(names.index(x) if names else x, score) for x, score, ended in points if ended is done]
            style: Any = {"color": REAL} if done else {"facecolors": "none", "edgecolors": FAINT}
            ax.scatter([x for x, _ in there], [score for _, score in there], s=22, linewidths=1.2, **style)
        ended = sorted((x, score) for x, score, done in points if done) if best else []
        if ended:
            lowest = [min(score for _, score in ended[: n + 1]) for n in range(len(ended))]
            ax.step([x for x, _ in ended], lowest, where="post", color=FAINT, linewidth=1.2)
        if log:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        elif names:
            ax.set_xticks(range(len(names)), names)
        elif all(isinstance(x, int) for x, *_ in points):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        ax.set(xlabel=what, ylabel="score")

    return _svg(draw, alt)


def _unit_square(ax: Axes) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    names = ["0", ".25", ".5", ".75", "1"]
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks, xticklabels=names, yticklabels=names)


def _svg(draw: Callable[[Axes], None], alt: str) -> str:
    """The <svg> element alone, coloured by CSS variables, with its alternative text."""
    # the salt: the same figure is the same bytes, and no two share an id
    with mpl.rc_context({**STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(3.6, 3.0), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        ax = figure.add_subplot(facecolor="none")
        draw(ax)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style .*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # axes_1 and the like: once more in every figure
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1).strip()
