"""Where the time goes: seconds by the name of a step, added up in each process and told to the job.

with step("decode"):
    ...
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_spent: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Counts what is done within to the step; a step within a step is to be left out. Costs a microsecond."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _spent[name] = _spent.get(name, 0.0) + time.perf_counter() - began


def taken_steps() -> dict[str, float]:
    """What was spent since the last call."""
    found = dict(_spent)
    _spent.clear()
    return found
