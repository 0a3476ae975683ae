import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring.bootstrap import interval_of
from app.scoring.draws import AT_ONCE, DrawnColumn, auc_draws, draws_of, score_draws
from app.scoring.metrics import auc_or_nan, official_score, partial_score

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
        for c, (auc, brier, ece) in enumerate(
            [(want.fake_auc, want.fake_brier, want.fake_ece), (want.real_auc, want.real_brier, want.real_ece)]
        ):
            column = DrawnColumn(y[:, c], p[:, c])
            assert column.auc(row[None])[0] == pytest.approx(auc, abs=1e-12, nan_ok=True)
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
    low, high = interval_of(auc_draws(y, p, 2000, 0))
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
    assert np.isnan(auc_draws(np.ones(4), np.linspace(0, 1, 4), 7, 0)).all()
    few = auc_draws(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3]), 400, 0)
    assert 0 < np.isnan(few).mean() < 0.6 and (few[np.isfinite(few)] == 1).all()
    assert auc_or_nan(np.array([0.0, 1.0]), np.array([0.1, 0.3])) == 1
