"""What a sweep's page makes of its trials."""

import pytest

from app.scoring.tried import Sweep, Tried, in_short, points, write_sweep


def trials(key, values):
    return [Tried(n, {key: value}, "done", 0.2 + n / 100, 3, 1.0) for n, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([16, 32], [16, 32]),
        ([0.1, 2], [0.1, 2]),
        ([None, 0.001], ["null", "0.001"]),
        ([True, False], ["true", "false"]),
        ([[8, 16], [16, 32]], ["[8, 16]", "[16, 32]"]),
        (["relu", 3], ["relu", "3"]),
    ],
)
def test_an_axis_has_numbers_or_names_and_never_both(tmp_path, values, places):
    tried = trials("setting", values)
    assert [place for place, *_ in points(tried, "setting")] == places
    assert [in_short(value) for value in values] == [str(place) for place in places]
    write_sweep(tmp_path / "index.html", Sweep("demo", "2026-01-01 12:00", "crnn", tried, frozenset()))
    assert (tmp_path / "index.html").read_text().count("<svg") == 2


def test_a_trial_without_a_score_has_no_point_but_decides_what_the_axis_is():
    tried = [*trials("setting", [1, 2]), Tried(3, {"setting": None}, "diverged", None, 0, 1.0)]
    assert points(tried, "setting") == [("1", tried[0].score, True), ("2", tried[1].score, True)]
