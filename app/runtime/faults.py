"""Points at which a test may kill this very process, as kill -9 would: at every write, fsync and rename that counts.

MOKSORI_KILL_AT="POINT:N:FILE" kills at the Nth passage of POINT, once: FILE is made
first, and whoever finds it there goes on. MOKSORI_POINTS=FILE notes the names of all
points passed. Without these two variables a point costs nothing.
"""

import os
import signal
from collections import Counter

_KILL_AT = os.environ.get("MOKSORI_KILL_AT", "")
_POINTS = os.environ.get("MOKSORI_POINTS", "")
_passed: Counter[str] = Counter()


def passing(point: str) -> None:
    """The work has come to `point`."""
    if not _KILL_AT and not _POINTS:
        return
    _passed[point] += 1
    if _POINTS and _passed[point] == 1:
        with open(_POINTS, "a", encoding="utf-8") as file:  # noqa: PTH123 - one write, so that processes do not mix
            file.write(f"{point}\n")
    if not _KILL_AT:
        return
    wanted, number, mark = _KILL_AT.split(":", 2)
    if point == wanted and _passed[point] == int(number):
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
