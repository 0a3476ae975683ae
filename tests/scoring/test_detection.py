"""minDCF and Cllr, against what can be said by hand."""

import numpy as np
import pytest
from pytest import approx

from app.scoring.detection import cllr, min_dcf, real_share, single_voice


def evidence(count=20000, seed=0, apart=2.0):
    """Log-likelihood ratios of two normals of spread 1, `apart` away from each other."""
    rng = np.random.default_rng(seed)
    real = rng.integers(0, 2, count)
    heard = rng.normal(0, 1, count) + real * apart
    return real, apart * heard - apart**2 / 2


def test_cllr_is_1_for_nothing_0_for_everything_and_lowest_for_honest_ratios():
    real, ratio = evidence()
    assert cllr(real, np.zeros(len(real))) == approx(1.0)
    assert cllr(real, np.where(real, 40.0, -40.0)) == approx(0.0, abs=1e-9)
    honest = cllr(real, ratio)
    assert 0.3 < honest < 0.6
    assert all(cllr(real, other) > honest for other in (2 * ratio, 0.5 * ratio, ratio + 1, ratio - 1))
    assert cllr(real, -3 * ratio) > 1  # worse than not to look


def test_min_dcf_by_hand():
    real = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0])
    scores = np.array([9, 8, 7, 3, 4, 2, 1, 0.5, 0.1])
    # at 7: a quarter missed, nothing accepted; at 3: nothing missed, a fifth accepted
    expected = min(0.95 * 0.25, 0.5 * 0.2) / 0.5
    assert min_dcf(real, scores) == approx(expected)
    assert min_dcf(real, real) == 0.0 and min_dcf(real, np.ones(9)) == 1.0 and min_dcf(real, 1 - real) == 1.0


def test_clips_with_one_voice_are_taken_and_both_outputs_are_heard():
    real, ratio = evidence(3000, 3)
    states = np.where(real, "real", "fake").tolist()
    p_real = 1 / (1 + np.exp(-(ratio + np.log(real.mean() / (1 - real.mean())))))
    labels, scores = np.stack([1 - real, real], 1), np.stack([1 - p_real, p_real], 1)
    prior = real_share(labels, states)
    found = single_voice(labels, scores, states, prior)
    assert prior == real.mean() and found.clips == 3000 and found.cllr == approx(cllr(real, ratio), abs=1e-3)
    assert found.min_dcf == approx(min_dcf(real, ratio)) and 0.1 < found.eer < 0.2
    others = single_voice(
        np.concatenate([labels, [[1, 1], [0, 0]]]), np.concatenate([scores, [[0.9, 0.9], [0.1, 0.1]]]),
        [*states, "real_fake", "none"], prior,
    )  # fmt: skip
    assert others == found


@pytest.mark.parametrize("kept", [0.1, 0.5])
def test_how_many_of_the_judged_clips_are_real_changes_nothing(kept):
    """Scores calibrated where half of the single voices are real; of the judged clips fewer are."""
    real, ratio = evidence(200_000, 5)
    p_real = 1 / (1 + np.exp(-ratio))
    mine = (real == 0) | (np.random.default_rng(6).random(len(real)) < kept)
    labels, scores = np.stack([1 - real, real], 1)[mine], np.stack([1 - p_real, p_real], 1)[mine]
    found = single_voice(labels, scores, np.where(real, "real", "fake")[mine].tolist(), 0.5)
    assert found.cllr == approx(cllr(real, ratio), abs=0.01) and found.min_dcf == approx(min_dcf(real, ratio), abs=0.02)


def test_the_share_of_real_ones_is_that_of_single_voices():
    labels, states = [[0, 1], [1, 0], [1, 0], [1, 1], [0, 1]], ["real", "fake", "fake", "real_fake", "real_real"]
    assert real_share(labels, states) == approx(1 / 3) and real_share(labels[3:], states[3:]) == 0.5


@pytest.mark.parametrize("states", [["none", "real_fake"], ["real", "real"], [None, None]])
def test_without_both_kinds_there_is_nothing_to_measure(states):
    assert single_voice([[0, 1], [0, 1]], [[0.2, 0.7], [0.5, 0.5]], states) is None


def test_a_certainty_that_is_wrong_is_dear_and_not_infinite():
    found = single_voice([[0, 1], [1, 0]], [[1.0, 0.0], [1.0, 0.0]], ["real", "fake"])
    assert 5 < found.cllr < 20
    with pytest.raises(ValueError, match="both of them"):
        cllr([1, 1], [0.1, 0.2])
