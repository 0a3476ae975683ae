"""How far a job is, as a bar at the end of a terminal, renewed four times a second. Pipes and logs get lines alone."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from app.runtime.status import RUNNING
from app.runtime.tell import span

EACH_S = 0.25
WIDTH = 24  # of the bar


@contextlib.contextmanager
def bar_at_the_end(label: str, values: Callable[[], dict[str, Any]]) -> Iterator[bool]:
    """Drawn below all that is told meanwhile, and taken away at the end. Gives whether there is a bar.

    values: those of a Status: done, total, unit, rate (a second), eta_s, note.
    """
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.live import Live

    class Frank(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False  # it stays: whoever is killed cannot bring it back

    console = Frank(file=sys.stderr, soft_wrap=True)  # a path that is wrapped cannot be copied
    live = Live(
        _Bar(label, values), console=console, transient=True, refresh_per_second=1 / EACH_S, redirect_stdout=False
    )
    with live:
        yield True


class _Bar:
    def __init__(self, label: str, values: Callable[[], dict[str, Any]]) -> None:
        self._label, self._values, self._began = label, values, time.monotonic()

    def __rich__(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        known = self._values()
        done, total, unit = known["done"], known["total"], known["unit"]
        if not total:
            return Text("")
        row = Table.grid(padding=(0, 1))
        rate = f"{known['rate']:.3g} {_each(unit)}/s" if known["rate"] else ""
        eta = "" if known["eta_s"] is None else f"eta {span(known['eta_s'])}"
        bar = ProgressBar(total=total, completed=min(done, total), width=WIDTH)
        gone = f"{span(time.monotonic() - self._began)} so far"
        state = "" if known["state"] == RUNNING else known["state"]
        row.add_row(self._label, bar, f"{done}/{total} {unit}", rate, gone, eta, state)
        return row


def _each(unit: str) -> str:
    """Of shards the rate is told in clips."""
    return "clips" if unit == "shards" else unit
