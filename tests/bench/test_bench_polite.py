"""The bench counts what it says it counts."""

import os

import pytest

from bench.actors import neighbours
from bench.neighbour import ARRIVAL_S
from bench.table import Outcome, print_table


def rounds(*rates: float, later: float = 1.0, ours: float = 0.0) -> list[dict[str, float]]:
    return [{"rate": rate, "later_rate": rate * later, "ours": ours} for rate in rates]


def test_medians_are_compared_and_the_spread_stands_beside(capsys):
    measured = {
        "alone": rounds(100, 102, 98),
        "session": rounds(97, 90, 99, later=1.01, ours=7.0),
        "cgroup": rounds(80, 85, 81, ours=5.0),
        "ours alone": [{"ours": 10.0}] * 3,
    }
    session, cgroup = Outcome("one core of two", measured, slower=0.1, keeps=0.6).rows()
    assert session.slower == pytest.approx(0.03) and session.spread == pytest.approx(0.04)
    assert session.later == pytest.approx(1 - 0.97 * 1.01) and session.kept == pytest.approx(0.7) and session.met
    assert cgroup.slower == pytest.approx(0.19) and cgroup.kept == pytest.approx(0.5) and not cgroup.met
    assert print_table([session], []) and not print_table([session, cgroup], [])
    assert "MISSED" in capsys.readouterr().out


def test_we_may_not_keep_too_little_either():
    measured = {"alone": rounds(100), "session": rounds(100, ours=5.0), "ours alone": [{"ours": 10.0}]}
    assert not Outcome("one core of two", measured, slower=0.1, keeps=0.6).rows()[0].met
    assert Outcome("one core of two", measured, slower=0.1).rows()[0].met


def test_a_noisy_machine_is_named():
    (row,) = Outcome("all cores", {"alone": rounds(80, 100), "session": rounds(90)}, slower=0.05).rows()
    assert row.met and "differ by more than the target" in row.verdict


@pytest.mark.parametrize("kind", ["cpu", "disk"])
def test_neighbours_count_their_work_and_leave_nothing(tmp_path, kind):
    places = [[cpu] for cpu in sorted(os.sched_getaffinity(0))[:2]]
    counts = iter([3, 10])
    what = "1" if kind == "cpu" else str(tmp_path)
    done = neighbours(kind, what, ARRIVAL_S + 0.5, places, count=lambda: next(counts))
    assert len(done) == len(places) and all(found["rate"] > 0 for found in done)
    assert done[0]["ours"] == pytest.approx(7 / (ARRIVAL_S + 0.5))
    assert not list(tmp_path.iterdir())
