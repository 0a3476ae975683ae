"""Figures of what a model was trained and validated on."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from app.scoring.group_figures import bars_figure
from app.scoring.shown import Panel
from app.scoring.slices import STATES

MOST_BARS = 12


def shortcut_panels(shortcuts: Sequence[tuple[str, float]]) -> list[Panel]:
    """How well each plain fact tells the label; none where none is known."""
    known = [(name, auc) for name, auc in shortcuts if math.isfinite(auc)]
    if not known:
        return []
    alt = "AUC of each plain fact alone: " + ", ".join(f"{name} {auc:.2f}" for name, auc in known)
    return [("Does a plain fact tell the label?", Markup(bars_figure(known, "AUC; 0.5: no, 1: entirely", alt, 0.5)))]


def mixed_panels(details: Mapping[str, Sequence[object]]) -> list[Panel]:
    """Validation clips by state, codec and room, and by SNR."""
    panels = []
    for key, what in (("state", "state"), ("snr_db", "SNR"), ("codec", "codec"), ("room", "room")):
        given = [value for value in details.get(key, ()) if value not in (None, "")]
        if not given:
            continue
        if key == "snr_db":
            figure = _snr_figure(np.array([float(str(value)) for value in given]))
        else:
            counted = Counter(str(value).replace("_", "+") if key == "state" else str(value) for value in given)
            names = [s for s in STATES if s in counted] if key == "state" else [n for n, _ in counted.most_common()]
            rows = [(name, counted[name]) for name in names[:MOST_BARS]]
            alt = f"Validation clips by {what}: " + ", ".join(f"{name} {count}" for name, count in rows)
            figure = bars_figure(rows, "clips", alt)
        panels.append((f"Validation clips by {what}", Markup(figure)))
    return panels


def _snr_figure(snr_db: np.ndarray) -> str:
    edges = np.linspace(math.floor(snr_db.min()), math.floor(snr_db.max()) + 1, 13)
    counts = np.histogram(snr_db, edges)[0].tolist()
    rows = [(f"{low:.3g}", count) for low, count in zip(edges, counts, strict=False)]
    alt = f"SNR of the {len(snr_db)} validation clips with a voice, {snr_db.min():.0f} to {snr_db.max():.0f} dB"
    return bars_figure(rows, "SNR, dB", alt, ordered=True)
