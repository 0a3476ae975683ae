"""Rows take little memory, and are what was put in."""

import json
import pickle
import tracemalloc

import pytest

from app.runtime.rows import PACK, Rows


def row(n):
    return {"id": f"clip{n:05d}", "path": f"train/clip{n:05d}.ogg", "sha256": f"{n * 7919:064x}", "split": "train",
            "speaker": None, "colour": [n / 7, n / 11, n / 13], "sources": [f"clip{n:05d}"]}  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, PACK - 1, PACK, PACK + 1, 3 * PACK + 5])
def test_rows_are_what_was_put_in(count):
    wanted = [row(n) for n in range(count)]
    rows = Rows(iter(wanted))
    assert len(rows) == count and bool(rows) == bool(count)
    assert list(rows) == wanted == list(rows)  # and once more
    assert [rows[n] for n in range(count)] == wanted and [rows[-n] for n in range(1, count + 1)] == wanted[::-1]
    for outside in (count, -count - 1):
        with pytest.raises(IndexError):
            rows[outside]
    rows.append(row(-1))
    rows.append(row(-2))
    assert list(rows) == [*wanted, row(-1), row(-2)] and rows[-1] == row(-2) and len(rows) == count + 2
    assert list(pickle.loads(pickle.dumps(rows))) == list(rows)


def test_a_row_that_was_handed_out_is_the_takers_own():
    rows = Rows([row(1), row(2)])
    next(iter(rows))["id"] = "another"
    rows[1].clear()
    assert list(rows) == [row(1), row(2)]


def test_rows_take_a_small_part_of_the_memory_of_a_list():
    lines = [json.dumps(row(n)) for n in range(5000)]
    held = {}
    for kind in (list, Rows):
        tracemalloc.start()
        rows = kind(json.loads(line) for line in lines)
        held[kind] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(rows) == 5000
    assert held[Rows] < held[list] / 8, held
