"""Pictures of one clip: its mel spectrogram over its F0, and what carried the answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from app.scoring.svg import FAINT, INK, figure_svg

Floats = NDArray[np.float32]
DEPTH_DB = 70.0  # shown below the loudest cell
QUIET_DB = -40.0  # what is quieter throughout is drawn as dark as it is
LEVELS = 48  # of brightness: fewer make a smaller page
FOR, AGAINST = (1.0, 0.46, 0.16), (0.25, 0.62, 1.0)  # spoke for such a voice, against it: told apart by all eyes
TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000, 12000)


def spectrogram_figure(mel_db: Floats, f0_hz: Floats, hop_s: float, mel_hz: Sequence[float], alt: str) -> str:
    """Mel map (mels, frames) in dB, below it F0 (frames,) in Hz where it is voiced (> 0).

    mel_hz: the middle of each band.
    """

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2.6, 1], "hspace": 0.06})
        _image(above, colormaps["magma"](_brightness(mel_db)), hop_s)
        _hertz(above, mel_hz)
        seconds = np.arange(len(f0_hz)) * hop_s
        voiced = np.where(f0_hz > 0, f0_hz, np.nan)
        below.plot(seconds, voiced, color=INK, linewidth=1.6)
        alone = np.where(_has_neighbours(f0_hz > 0), np.nan, voiced)  # a line does not show one frame
        below.plot(seconds, alone, color=INK, marker=".", markersize=1.5, linestyle="none")
        top = float(np.nanmax(voiced)) if (f0_hz > 0).any() else 300.0
        below.set(xlabel="seconds", ylabel="F0, Hz", ylim=(50, max(200.0, 1.1 * top)))
        below.set_xlim(0, max(hop_s, (mel_db.shape[-1] - 1) * hop_s))
        figure.align_ylabels()

    return figure_svg(draw, alt)


def credits_figure(
    mel_db: Floats, credit: Floats, strip: Floats, scale: float, strip_scale: float, hop_s: float,
    mel_hz: Sequence[float], alt: str,
) -> str:  # fmt: skip
    """Credits of the mel map (mels, frames) over it, in grey, and below those of the measures (frames,).

    scale, strip_scale: credits that get the full colour.
    """

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [6.8, 1], "hspace": 0.08})
        _image(above, _greys(mel_db), hop_s)
        _image(above, _coloured(credit, scale), hop_s)
        _hertz(above, mel_hz)
        _image(below, np.full((1, len(strip), 4), (0.13, 0.14, 0.16, 1.0)), hop_s)
        _image(below, _coloured(strip[None], strip_scale), hop_s)
        below.set_yticks([0.5], ["measures"])
        below.set(xlabel="seconds")

    return figure_svg(draw, alt)


def _has_neighbours(voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(frames,): whether the frame before or after is voiced."""
    padded = np.pad(voiced, 1)
    return padded[:-2] | padded[2:]


def _image(ax: Axes, rgba: NDArray[Any], hop_s: float) -> None:
    """rgba: (rows, frames, 4), the lowest row first."""
    extent = (0.0, max(hop_s, (rgba.shape[1] - 1) * hop_s), 0.0, float(rgba.shape[0]))
    coloured = np.round(255 * np.asarray(rgba)).astype(np.uint8)
    ax.imshow(coloured, origin="lower", aspect="auto", extent=extent, interpolation="none")
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)


def _hertz(ax: Axes, mel_hz: Sequence[float]) -> None:
    ticks = [hz for hz in TICKS_HZ if mel_hz[0] <= hz <= mel_hz[-1]]
    places = np.interp(ticks, mel_hz, np.arange(len(mel_hz)) + 0.5)
    ax.set_yticks(places, [f"{hz / 1000:g}k" if hz >= 1000 else f"{hz}" for hz in ticks])
    ax.set(ylabel="Hz")
    ax.tick_params(labelbottom=False, color=FAINT)


def _brightness(mel_db: Floats) -> NDArray[np.float64]:
    loudest = max(float(mel_db.max()), QUIET_DB)
    level = np.clip(1 + (mel_db.astype(float) - loudest) / DEPTH_DB, 0, 1)
    found: NDArray[np.float64] = np.round(level * LEVELS) / LEVELS
    return found


def _greys(mel_db: Floats) -> NDArray[np.float64]:
    grey = 0.12 + 0.62 * _brightness(mel_db)
    return np.stack([grey, grey, grey, np.ones_like(grey)], -1)


def _coloured(credit: Floats, scale: float) -> NDArray[np.float64]:
    strength = np.round(np.clip(np.abs(credit) / max(scale, 1e-9), 0, 1) * LEVELS) / LEVELS
    colour = np.where((credit > 0)[..., None], FOR, AGAINST)
    return np.concatenate([colour, 0.9 * strength[..., None]], -1)
