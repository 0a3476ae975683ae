"""A network's disk may show another machine's files late: up to a minute, as Linux' NFS has it (acregmax, acdirmax)."""

import os
import socket
import time
from collections.abc import Callable

from app.errors import Missing
from app.runtime.tell import tell

SHOWN_S = 60.0  # at the latest, as a rule
SEEN_S, LOOK_S = 2 * SHOWN_S, 1.0  # how long something is waited for, and between two looks
AFTER = "MOKSORI_AFTER"  # environment: set where a job of a chain may have ended on another node a moment ago


def patiently(work: Callable[[], None], leave: Callable[[], None]) -> None:
    """Does it; in a chain, what is missing is waited for before that is an error. leave: raises Stopped."""
    until, told = time.monotonic() + SEEN_S, False
    while True:
        try:
            return work()
        except Missing as error:
            if AFTER not in os.environ or time.monotonic() > until:
                raise
            if not told:
                tell(f"{error.what}\n  or not seen from {socket.gethostname()} yet: waits, {SEEN_S:.0f} s at most")
                told = True
        time.sleep(LOOK_S)
        leave()
