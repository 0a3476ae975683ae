"""Both probabilities over the time of a recording, as a picture."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FAKE, REAL = "#c2410c", "#0f766e"  # as in the report; told apart by those who see fewer colours too


def timeline_png(
    starts_s: Sequence[float], fake: Sequence[float], real: Sequence[float], window_s: float, title: str
) -> bytes:
    """A PNG. A window's number stands in its middle; between them a line; the uncertain middle is shaded."""
    middles = np.array(starts_s) + window_s / 2
    figure = Figure(figsize=(10, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.axhspan(0.3, 0.7, color="#f1f5f9", zorder=0)
    for name, values, colour in (("fake voice", fake, FAKE), ("real voice", real, REAL)):
        axes.plot(middles, values, color=colour, label=name, marker="o" if len(middles) < 80 else None, markersize=4)
    axes.set(xlim=(0, max(starts_s) + window_s), ylim=(-0.02, 1.02), xlabel="seconds", ylabel="probability")
    axes.set_title(
        "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in title)[-80:], fontsize=10, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e2e8f0")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, frameon=False, ncols=2)
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()
