"""A line to whoever sits at the terminal; if nobody does any more, the work goes on."""

import contextlib
import sys


def tell(line: str) -> None:
    """Prints to stderr. A terminal that was closed, or a log on a full disk, is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def span(seconds: float) -> str:
    """A time to read: 40s, 12m, 3h05."""
    if seconds < 90:
        return f"{seconds:.0f}s"
    if seconds < 5400:
        return f"{seconds / 60:.0f}m"
    return f"{seconds // 3600:.0f}h{seconds % 3600 // 60:02.0f}"
