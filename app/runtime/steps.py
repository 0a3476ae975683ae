"""Where the time goes: seconds by the name of a step, added up in each process and told to the job.

with step("decode"):
    ...
"""

from collections.abc import Iterator
from contextlib import contextmanager

from app.runtime.seat import worked_s

_spent: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Counts what is done within to the step; a step within a step is to be left out. Costs a microsecond.

    Rests, in which others have our cores, do not count.
    """
    began = worked_s()
    try:
        yield
    finally:
        _spent[name] = _spent.get(name, 0.0) + worked_s() - began


def taken_steps() -> dict[str, float]:
    """What was spent since the last call."""
    found = dict(_spent)
    _spent.clear()
    return found
