"""Where the windows of a long recording begin, and from their scores back to the recording."""

from collections.abc import Iterable
from typing import Any


def window_starts(num_samples: int, size: int, overlap: int) -> list[int]:
    """First samples of windows of `size` that cover a recording, neighbours sharing `overlap` samples.

    The last window ends with the recording and may share more; a recording no longer
    than a window has one, from 0. Raises ValueError unless 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size}")
    if num_samples <= size:
        return [0]
    return [*range(0, num_samples - size, size - overlap), num_samples - size]


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
