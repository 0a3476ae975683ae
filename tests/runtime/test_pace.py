"""A cap on bytes per second is kept, over all that is written."""

import time

import numpy as np

from app.runtime import pace
from app.runtime.arrays import ArrayWriter
from app.runtime.files import write_atomic
from app.runtime.pace import AHEAD_S, Pace


def test_no_more_is_written_than_the_cap_allows():
    limited = Pace()
    limited.limit(10e6)
    began = time.monotonic()
    for _ in range(100):
        limited.wrote(100_000)
    assert time.monotonic() - began >= 1.0 - AHEAD_S


def test_without_a_cap_nothing_waits(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest_fail())
    Pace().wrote(10**12)


def pytest_fail():
    raise AssertionError("it slept")


def test_arrays_and_small_files_are_written_at_our_pace(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(pace.PACE, "wrote", told.append)
    with ArrayWriter(tmp_path / "a.npy", "float32") as array:
        array.append(np.zeros(1_000_000, "float32"))
    assert sum(told) == 4_000_000 and max(told) <= 1 << 20
    told.clear()
    write_atomic(tmp_path / "b.bin", b"x" * 3_000_000)
    assert sum(told) == 3_000_000 and max(told) <= 1 << 20
    assert (tmp_path / "b.bin").read_bytes() == b"x" * 3_000_000
