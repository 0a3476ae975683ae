import numpy as np
import pytest
from pytest import approx
from scipy.integrate import trapezoid
from sklearn.metrics import roc_auc_score

from app.scoring.curves import MOST_POINTS, reliability_curves, roc_curves
from app.scoring.metrics import official_score
from app.scoring.slices import STATES, Draws, slice_tables

RNG = np.random.default_rng(0)
STATE = np.array(STATES)[np.arange(240) % 6]
LABELS = np.array([["fake" in s, "real" in s] for s in STATE], int)
SCORES = np.clip(0.3 + 0.4 * LABELS + RNG.normal(0, 0.25, LABELS.shape), 0, 1)


def table(column: str, values, labels=LABELS, scores=SCORES):
    found = slice_tables(labels, scores, {column: values})
    return {row.name: row for row in found[0].rows} if found else {}


def test_states_come_in_their_order_each_against_the_opposite_label():
    rows = table("state", [s.replace("+", "_") for s in STATE])
    assert tuple(rows) == STATES
    assert sum(row.clips for row in rows.values()) == 240
    for state, row in rows.items():
        inside = state == STATE
        assert (row.p_fake, row.p_real) == approx(tuple(SCORES[inside].mean(0)))
        for c, auc in ((0, row.fake_auc), (1, row.real_auc)):
            against = LABELS[:, c] != LABELS[inside][0, c]
            both = inside | against
            assert auc == approx(roc_auc_score(LABELS[both, c], SCORES[both, c]))
        assert 0 <= row.fake_eer <= 1


def test_attacks_count_alone_against_everything_without_a_fake_voice():
    attack = ["A01" if i % 4 else "A02" for i in range(240)]
    attack[2] = "A01+A02"
    rows = table("attack", [a if fake else "" for a, fake in zip(attack, LABELS[:, 0], strict=True)])
    assert tuple(rows) == ("A01", "A02")
    alone = (LABELS[:, 0] == 1) & (LABELS[:, 1] == 0) & (np.array(attack) == "A01")
    both = alone | (LABELS[:, 0] == 0)
    assert rows["A01"].clips == alone.sum()
    assert rows["A01"].fake_auc == approx(roc_auc_score(LABELS[both, 0], SCORES[both, 0]))
    assert np.isnan(rows["A01"].real_auc)


def test_other_columns_are_measured_within_each_value():
    codec = ["opus" if i % 3 else "none" for i in range(240)]
    rows = table("codec", codec)
    inside = np.array(codec) == "opus"
    assert rows["opus"].fake_auc == approx(roc_auc_score(LABELS[inside, 0], SCORES[inside, 0]))
    assert rows["opus"].clips + rows["none"].clips == 240


def test_numbers_are_cut_into_quarters_and_nothing_is_lost():
    snr = [*np.linspace(0, 30, 236).tolist(), None, "", float("nan"), "15"]
    rows = table("snr_db", snr)
    assert len(rows) == 4
    assert sum(row.clips for row in rows.values()) == 237
    assert {row.clips for row in rows.values()} <= {58, 59, 60}


def test_too_many_names_become_none_and_any():
    rooms = ["none" if i % 2 else f"t60={i}" for i in range(240)]
    assert {name: row.clips for name, row in table("room", rooms).items()} == {"none": 120, "any": 120}
    assert table("speaker", [f"speaker {i}" for i in range(240)]) == {}
    assert table("noise", ["same"] * 240) == {}  # nothing to compare
    assert table("noise", [None] * 240) == {}


def test_of_many_names_the_most_frequent_stand_for_themselves():
    """20 codecs: 15 clips each of the first ten, the others rare."""
    codecs = [f"codec{i % 10}" if i < 150 else f"rare{i % 10}" for i in range(240)]
    rows = table("codec", codecs)
    assert sorted(rows) == ["all others", *(f"codec{i}" for i in range(10))]
    assert rows["codec3"].clips == 15 and sum(row.clips for row in rows.values()) == 240


def test_languages_are_sets_in_any_order():
    names = ["en", "ko", "en+ko", "ko+en", None, "ko+ko"]
    rows = table("language", [names[i % 6] for i in range(240)])
    assert {name: row.clips for name, row in rows.items()} == {"en": 40, "en+ko": 80, "ko": 80}
    four = [f"{a}+{b}" for a in "abcd" for b in "abcd"]
    rows = table("language", [four[i % 16] for i in range(240)])
    assert len(rows) == 10 and rows["a"].clips == 15 and rows["a+b"].clips == 30


def test_what_is_not_defined_is_nan():
    rows = table("state", ["fake", "fake"], [[1, 0], [1, 0]], [[0.5, 0.5], [0.7, 0.1]])
    assert np.isnan([rows["fake"].fake_auc, rows["fake"].real_auc, rows["fake"].fake_eer]).all()
    with pytest.raises(ValueError, match="codec: 3 values for 240"):
        table("codec", ["a", "b", "c"])


def test_groups_have_intervals_and_a_score_of_their_own():
    codec = ["opus" if i // 6 % 3 else "none" for i in range(240)]
    (found,) = slice_tables(LABELS, SCORES, {"codec": codec}, how=Draws(200, 1))
    for row in found.rows:
        inside = np.array(codec) == row.name
        assert row.score == approx(official_score(LABELS[inside], SCORES[inside]).score)
        assert row.score_range.low < row.score < row.score_range.high + 0.02  # an ECE leans upwards
        assert row.fake_range.low < row.fake_auc < row.fake_range.high
        assert row.fake_eer_range.low <= row.fake_eer <= row.fake_eer_range.high
        assert row.brier_range.low < row.brier < row.brier_range.high
        assert row.real_range.low < row.real_auc < row.real_range.high
    none, opus = found.rows
    assert opus.fake_range.high - opus.fake_range.low < none.fake_range.high - none.fake_range.low  # twice the clips
    (states,) = slice_tables(LABELS, SCORES, {"state": STATE.tolist()}, how=Draws(50))
    assert all(np.isnan(row.score) and np.isnan(row.score_range).all() for row in states.rows)
    assert all(np.isfinite(row.fake_range).all() for row in states.rows)


def test_curves_agree_with_what_they_draw():
    fake, real = roc_curves(LABELS, SCORES)
    for c, curve in enumerate((fake, real)):
        assert (curve.false_alarms[0], curve.hits[0], curve.false_alarms[-1], curve.hits[-1]) == (0, 0, 1, 1)
        assert curve.auc == approx(roc_auc_score(LABELS[:, c], SCORES[:, c]))
        assert trapezoid(curve.hits, curve.false_alarms) == approx(curve.auc, abs=0.01)
    many = RNG.random((20_000, 2))
    assert len(roc_curves(many < 0.5, RNG.random((20_000, 2)))[0].hits) <= MOST_POINTS
    assert [curve.column for curve in roc_curves([[0, 1], [0, 0]], [[0.1, 0.2], [0.3, 0.4]])] == ["real"]
    for c, curve in enumerate(reliability_curves(LABELS, SCORES)):
        assert sum(curve.clips) == 240
        assert np.dot(curve.clips, curve.observed) == approx(LABELS[:, c].sum())
        assert np.dot(curve.clips, curve.predicted) == approx(SCORES[:, c].sum())
