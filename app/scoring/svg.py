"""One style for all figures: SVG for one page, no pyplot, colours that follow the page.

Every colour is a stand-in that becomes a CSS variable of the page, so that one
figure is legible in light and in dark.
"""

import base64
import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

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
    "image.composite_image": False,  # several would be drawn as one, in fewer dots
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def svg_of(draw: Callable[[Axes], None], alt: str, height: float = 3.0) -> str:
    """As `figure_svg`, of a figure with one pair of axes."""

    def on_its_axes(figure: Figure) -> None:
        draw(figure.add_subplot(facecolor="none"))

    return figure_svg(on_its_axes, alt, height)


def figure_svg(draw: Callable[[Figure], None], alt: str, height: float = 3.0) -> str:
    """The <svg> element alone, coloured by CSS variables, with its alternative text. height: in inches of 3.6 wide."""
    # the salt: the same figure is the same bytes, and no two share an id
    with mpl.rc_context({**STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(3.6, height), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure)
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
    text = re.sub(r"(?<=data:image/png;base64,)[^\"]+", lambda found: _by_palette(found[0]), text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1).strip()


def _by_palette(png: str) -> str:
    """The same picture (base64 of a PNG), in 60 % of the bytes where it has at most 256 colours."""
    rgba = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
    colours, places = np.unique(rgba.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) > 256:
        return png
    picture, stream = Image.fromarray(places.reshape(rgba.shape[:2]).astype(np.uint8), "P"), io.BytesIO()
    picture.putpalette(colours[:, :3].tobytes())
    picture.save(stream, "PNG", optimize=True, transparency=colours[:, 3].tobytes())
    return base64.b64encode(stream.getvalue()).decode()


def plain(name: str, longest: int) -> str:
    """A name from outside as text of a figure: printable and short."""
    kept = "".join(sign if sign.isprintable() else "?" for sign in name)
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"
