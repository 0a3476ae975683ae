"""Curves as figures: ROC, DET, reliability, training, trials. No text from outside but an axis' name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.special import ndtri as norm_ppf

from app.scoring.curves import Reliability, Roc
from app.scoring.svg import COLOUR, FAINT, REAL, svg_of


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

    return svg_of(draw, alt)


def det_figure(curves: Sequence[Roc], alt: str) -> str:
    """Detection error trade-off: misses against false alarms, both axes by the normal distribution's quantiles.

    Where scores of both classes are normal a curve is a straight line; the dotted diagonal holds the equal error rates.
    Source: A. Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """
    low, high = 0.004, 0.75
    ticks = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6]

    def draw(ax: Axes) -> None:
        ax.plot(norm_ppf([low, high]), norm_ppf([low, high]), color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        for curve in curves:
            alarms, misses = (np.clip(v, 1e-5, 1 - 1e-5) for v in (curve.false_alarms, 1 - np.asarray(curve.hits)))
            ax.plot(norm_ppf(alarms), norm_ppf(misses), color=COLOUR[curve.column], label=curve.column)
        names = [f"{100 * tick:g}" for tick in ticks]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(norm_ppf(ticks), names)
        ax.set(xlim=norm_ppf([low, high]), ylim=norm_ppf([low, high]), xlabel="false alarms, %", ylabel="misses, %")
        _legend_above(ax)

    return svg_of(draw, alt)


def reliability_figure(before: Reliability | None, after: Reliability, alt: str) -> str:
    """Share of positives against mean score, before and after calibration with intervals; bars: shares of the clips."""

    def draw(ax: Axes) -> None:
        colour = COLOUR[after.column]
        total = sum(after.clips)
        ax.bar(after.predicted, [c / total for c in after.clips], width=0.03, color=colour, alpha=0.22, linewidth=0)
        ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        if before is not None:
            style: Any = {"color": FAINT, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
            ax.plot(before.predicted, before.observed, label="before", **style)
        for at, interval in zip(after.predicted, after.ranges, strict=True):
            ax.vlines(at, interval.low, interval.high, color=colour, linewidth=1.2, alpha=0.6)
        ax.plot(after.predicted, after.observed, color=colour, marker="o", markersize=4.5, label="after")
        _unit_square(ax)
        ax.set(xlabel=f"mean p_{after.column}", ylabel=f"share with a {after.column} voice")
        if before is not None:
            _legend_above(ax)

    return svg_of(draw, alt)


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
        if len(epochs) == 1:
            ax.set_xlim(0, 2)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="best")

    return svg_of(draw, alt)


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

    return svg_of(draw, alt)


def _legend_above(ax: Axes) -> None:
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, borderaxespad=0.2)


def _unit_square(ax: Axes) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    names = ["0", ".25", ".5", ".75", "1"]
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks, xticklabels=names, yticklabels=names)
