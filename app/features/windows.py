"""From the scores of its windows back to a recording."""

from collections.abc import Iterable
from typing import Any


def by_recording(rows: Iterable[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Recording -> (p_fake, p_real): the highest of its windows, for a voice is present if it is anywhere.

    rows: one a window, with `recording`, p_fake and p_real. The more windows, the higher the
    highest by chance alone: over a long recording it is no calibrated probability any more.
    """
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        fake, real = found.get(row["recording"], (0.0, 0.0))
        found[row["recording"]] = (max(fake, row["p_fake"]), max(real, row["p_real"]))
    return found
