"""Tables for people at a terminal; they go to stderr, so that stdout stays for what a script may read."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(title: str, rows: list[dict[str, Any]], names: Sequence[str] = ()) -> None:
    """One row a dict, columns in the order of the first; numbers to the right, nothing cut off when piped.

    names: columns that somebody named, which are written as they are.
    """
    if not rows:
        return
    # a pipe has no width: wide enough that no cell is folded
    width = None if sys.stderr.isatty() else 200
    console = Console(file=sys.stderr, width=width)
    grid = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold")
    for key, value in rows[0].items():
        grid.add_column(
            Text(key if key in names else key.replace("_", " ")),
            justify="right" if isinstance(value, (int, float)) else "left",
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(grid)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
