"""A table of the report, and how its cells are written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.scoring.bootstrap import Interval

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Numbers and names to print; None and nan are shown as –."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    quiet: Sequence[int] = ()  # rows to print faint


def as_table(title: str, rows: Sequence[Mapping[str, Any]], note: str = "") -> Table | None:
    """Of rows that have the same keys, which become the columns; None without rows."""
    return Table(title, list(rows[0]), [list(row.values()) for row in rows], note) if rows else None


def number(value: Cell, digits: int = 3) -> str:
    """A cell as text: 0.159, 50,000, –."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def duration(seconds: float | None) -> str:
    """0.4 s, 12 s, 3 min 20 s, 5 h 2 min."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ranged(value: float, interval: Interval) -> str:
    """0.912 (0.88 to 0.94); without an interval the value alone."""
    if not math.isfinite(interval.low):
        return number(value)
    return f"{value:.3f} ({interval.low:.2f} to {interval.high:.2f})".replace(" ", "\N{NO-BREAK SPACE}")
