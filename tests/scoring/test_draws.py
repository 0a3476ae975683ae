import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring.bootstrap import interval_about, interval_of
from app.scoring.detection import single_voice
from app.scoring.draws import AT_ONCE, DrawnColumn, draws_of, score_draws
from app.scoring.metrics import auc_or_nan, official_score, partial_score
from app.scoring.ranges import column_ranges, score_ranges
from app.scoring.shares import share_range

BINARY = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=40)


@settings(max_examples=150, deadline=None)
@given(BINARY, st.integers(0, 9999), st.booleans())
def test_a_draw_measures_what_its_clips_measure(labels, seed, on_edges):
    """Weights and clips written out come to the same, at ties and on the edges of bins too."""
    rng = np.random.default_rng(seed)
    y = np.array(labels, float)
    p = rng.integers(0, 11, y.shape) / 10 if on_edges else rng.random(y.shape)
    (weights,) = draws_of(len(y), 5, seed)
    assert (weights.sum(1) == len(y)).all()
    for row in weights:
        clips = np.repeat(np.arange(len(y)), row.astype(int))
        want = partial_score(y[clips], p[clips])
        for c, (auc, brier, ece, eer) in enumerate(
            [
                (want.fake_auc, want.fake_brier, want.fake_ece, want.fake_eer),
                (want.real_auc, want.real_brier, want.real_ece, want.real_eer),
            ]
        ):
            column = DrawnColumn(y[:, c], p[:, c])
            assert column.auc(row[None])[0] == pytest.approx(auc, abs=1e-12, nan_ok=True)
            assert column.eer(row[None])[0] == pytest.approx(eer, abs=1e-12, nan_ok=True)
            assert column.brier(row[None])[0] == pytest.approx(brier, abs=1e-12)
            assert column.ece(row[None])[0] == pytest.approx(ece, abs=1e-12)


def test_intervals_are_those_of_drawing_one_by_one():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, (300, 2))
    p = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, y.shape), 0, 1)
    slow = []
    for _ in range(1000):
        drawn = rng.integers(0, 300, 300)
        slow.append(official_score(y[drawn], p[drawn]).score)
    low, high = np.percentile(slow, (2.5, 97.5))
    fast = interval_of(score_draws(y, p, 1000, 2))
    assert fast == pytest.approx((low, high), abs=0.1 * (high - low))
    assert fast == interval_of(score_draws(y, p, 1000, 2)) != interval_of(score_draws(y, p, 1000, 3))


def test_intervals_agree_with_theory():
    """Of a mean, and of an AUC: the variance that Hanley and McNeil give for two normal distributions."""
    rng = np.random.default_rng(4)
    y = np.repeat([0.0, 1.0], 300)
    p = 1 / (1 + np.exp(-(rng.normal(0, 1, 600) + y)))
    square = (p - y) ** 2
    (weights,) = draws_of(600, 1000, 1)
    low, high = interval_of(DrawnColumn(y, p).brier(weights))
    assert high - low == pytest.approx(2 * 1.96 * square.std() / np.sqrt(600), rel=0.1)
    area = auc_or_nan(y, p)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = np.sqrt((area * (1 - area) + 299 * (q1 - area**2) + 299 * (q2 - area**2)) / 300**2)
    low, high = column_ranges(y, p, 2000, 0)[0]
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert low < area < high


def test_blocks_leave_no_draw_out():
    clips = AT_ONCE // 3
    assert sum(len(block) for block in draws_of(clips, 10, 0)) == 10
    assert list(draws_of(5, 0, 0)) == []
    assert score_draws([[0, 1], [1, 0]], [[0.2, 0.9], [0.7, 0.1]], 0, 0).shape == (0,)


def test_one_class_has_no_area():
    assert np.isnan(interval_of([])).all() and np.isnan(interval_of([1.0, np.nan])).all()
    assert interval_of([1.0, 1.0, np.nan]) == (1, 1)
    assert np.isnan(column_ranges(np.ones(4), np.linspace(0, 1, 4), 7, 0)).all()
    (weights,) = draws_of(3, 400, 0)
    few = DrawnColumn(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3])).auc(weights)
    assert 0 < np.isnan(few).mean() < 0.6 and (few[np.isfinite(few)] == 1).all()
    assert auc_or_nan(np.array([0.0, 1.0]), np.array([0.1, 0.3])) == 1


def test_every_term_has_its_interval_from_the_same_draws():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, (400, 2))
    p = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, y.shape), 0, 1)
    found, score = score_ranges(y, p, 300, 1), partial_score(y, p)
    assert found["score"] == pytest.approx(interval_of(score_draws(y, p, 300, 1)))
    for name, (low, high) in found.items():
        slack = 0.03 if "ece" in name else 0.0  # an ECE leans upwards
        assert low - slack <= getattr(score, name) <= high and high - low < 0.2, name
    assert set(found) == {"score", "auc", "brier", "ece", *(f"{c}_{t}" for c in ("fake", "real") for t in
                                                            ("auc", "brier", "ece", "eer"))}  # fmt: skip
    assert all(np.isnan(interval).all() for interval in score_ranges(y, p, 0, 1).values())


def test_single_voices_have_intervals_as_drawing_one_by_one_gives_them():
    rng = np.random.default_rng(6)
    real = rng.integers(0, 2, 240)
    y = np.stack([1 - real, real], 1)
    p = np.clip(0.5 + 0.25 * (y - 0.5) + rng.normal(0, 0.2, y.shape), 0.01, 0.99)
    states = np.array(["fake", "real"])[real]
    found = single_voice(y, p, states.tolist(), 0.4, 800, 0)
    slow = []
    for _ in range(800):
        drawn = rng.integers(0, 240, 240)
        one = single_voice(y[drawn], p[drawn], states[drawn].tolist(), 0.4)
        slow.append((one.eer, one.min_dcf, one.cllr))
    ranges = (found.eer_range, found.min_dcf_range, found.cllr_range)
    for value, interval, draws in zip(found[1:4], ranges, np.array(slow).T, strict=True):
        low, high = np.percentile(draws, (2.5, 97.5))
        assert interval == pytest.approx((low, high), abs=0.15 * (high - low))
        assert interval.low <= value <= interval.high


def test_of_shares_the_interval_holds_what_it_says():
    """Of 4,000 draws of 12 clips with a share of .9, 95 % hold it; published: 8 of 10 is .490 to .943."""
    rng = np.random.default_rng(7)
    inside = [low <= 0.9 <= high for low, high in (share_range(hits, 12) for hits in rng.binomial(12, 0.9, 4000))]
    assert 0.93 < np.mean(inside) < 0.995
    assert share_range(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert share_range(0, 5).low == 0 and share_range(5, 5).high == 1 and np.isnan(share_range(0, 0)).all()


def test_a_difference_does_not_lean_against_who_is_calibrated():
    """Two models that rank alike, one too sure of itself: where the middles of the intervals lie, over 60 data sets.

    Drawing again raises the ECE of the calibrated one more: as drawn, the middles lie below the difference.
    """
    rng = np.random.default_rng(8)
    drawn, moved = [], []
    for seed in range(60):
        logits = rng.normal(0, 1.5, (200, 2))
        y = (rng.random((200, 2)) < 1 / (1 + np.exp(-logits))).astype(float)
        p, q = (1 / (1 + np.exp(-scale * logits)) for scale in (1.0, 1.7))
        value = partial_score(y, q).score - partial_score(y, p).score
        draws = score_draws(y, q, 200, seed) - score_draws(y, p, 200, seed)
        drawn.append(np.mean(interval_of(draws)) - value)
        moved.append(np.mean(interval_about(value, draws)) - value)
    assert np.mean(drawn) < -0.0012 and abs(np.mean(moved)) < 0.0004
