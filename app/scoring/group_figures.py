"""Figures of groups of clips: how good each is, and how many there are. Names in them may come from outside."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from app.scoring.slices import Slice
from app.scoring.svg import COLOUR, FAINT, FAKE, REAL, plain, svg_of


def groups_figure(rows: Sequence[Slice], alt: str) -> str:
    """AUC of groups of clips with 95 % intervals, a line each, from the top; what is nan is left out."""

    def draw(ax: Axes) -> None:
        lowest = 1.0
        for place, row in enumerate(rows):
            fake, real = (FAKE, row.fake_auc, row.fake_range), (REAL, row.real_auc, row.real_range)
            for at, (colour, value, interval) in ((place - 0.16, fake), (place + 0.16, real)):
                if math.isfinite(value):
                    lowest = min(lowest, value, *filter(math.isfinite, interval))
                    ax.plot(value, at, marker="o", markersize=5, color=colour, linestyle="none", clip_on=False)
                    ax.hlines(at, interval.low, interval.high, color=colour, linewidth=1.6)
        ax.axvline(0.5, color=FAINT, linewidth=1, linestyle=(0, (2, 3)))
        ax.set_yticks(range(len(rows)), [plain(row.name, 18) for row in rows], parse_math=False)
        ax.set(xlim=(min(0.48, lowest - 0.02), 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="AUC")
        ax.grid(axis="y", visible=False)
        for column in ("fake", "real"):
            ax.plot([], [], marker="o", markersize=5, color=COLOUR[column], linewidth=1.6, label=column)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, borderaxespad=0.2)

    return svg_of(draw, alt, height=1.15 + 0.32 * len(rows))


def bars_figure(
    rows: Sequence[tuple[str, float]], what: str, alt: str, begin: float = 0.0, ordered: bool = False
) -> str:
    """Counts by name, as lying bars, or standing ones close together where the names are an ordered scale.

    begin: where the lying ones begin, if not at 0; they then end at 1.
    """

    def draw(ax: Axes) -> None:
        names, counts = [plain(name, 18) for name, _ in rows], [count for _, count in rows]
        places = range(len(rows))
        if ordered:
            ax.bar(places, counts, width=0.96, color=REAL, alpha=0.75, linewidth=0)
            step = max(1, len(rows) // 6)
            ax.set_xticks(places[::step], names[::step], parse_math=False)
            ax.set(xlabel=what, ylabel="clips")
            ax.grid(axis="x", visible=False)
        else:
            ax.barh(
                places, [count - begin for count in counts], left=begin, height=0.7, color=REAL, alpha=0.75, linewidth=0
            )
            ax.set_yticks(places, names, parse_math=False)
            ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=what)
            if begin:
                ax.set_xlim(begin, 1)
            ax.grid(axis="y", visible=False)

    return svg_of(draw, alt, height=2.2 if ordered else 1.0 + 0.28 * len(rows))
