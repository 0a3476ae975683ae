"""A line to whoever sits at the terminal; if nobody does any more, the work goes on."""

import contextlib
import sys


def tell(line: str) -> None:
    """Prints to stderr. A terminal that was closed, or a log on a full disk, is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
