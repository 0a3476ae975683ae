import numpy as np
import pytest
from pytest import approx
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from app.scoring.ece import ece_corrected, ece_official
from app.scoring.floors import floors
from app.scoring.metrics import ece_floor, eer, official_score, partial_score
from app.scoring.roc import roc_points


def clips(n: int, seed: int = 0, decimals: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.6, 0.6, (n, 2)).round(decimals)
    return (rng.random((n, 2)) < 0.2 + 0.6 * scores).astype(int), scores


def as_the_contest_says(labels: np.ndarray, scores: np.ndarray) -> float:
    """The published formula, put together from scikit-learn and numpy alone."""
    auc, brier, ece = [], [], []
    for y, p in zip(labels.T, scores.T, strict=True):
        auc.append(roc_auc_score(y, p))
        brier.append(brier_score_loss(y, p))
        observed, predicted = calibration_curve(y, p, n_bins=10, strategy="uniform")
        counts, _ = np.histogram(p, bins=np.linspace(0, 1, 11))
        share = counts[counts != 0] / p.size
        ece.append(np.sum(share * np.abs(observed[: share.size] - predicted[: share.size])))
    return 0.5 * (1 - np.mean(auc)) + 0.25 * np.mean(brier) + 0.25 * np.mean(ece)


@pytest.mark.parametrize("decimals", [6, 2])  # two decimals: ties, and many scores on bin edges
@pytest.mark.parametrize("n", [200, 3000])
def test_the_official_score_is_the_contests(n, decimals):
    for seed in range(5):
        labels, scores = clips(n, seed, decimals)
        assert official_score(labels, scores).score == approx(as_the_contest_says(labels, scores), abs=1e-12)


def test_the_terms_add_up_and_columns_are_fake_then_real():
    labels, scores = clips(500)
    got = official_score(labels, scores)
    assert got.score == approx(0.5 * (1 - got.auc) + 0.25 * got.brier + 0.25 * got.ece)
    assert got.corrected_score == approx(got.score + 0.25 * (got.corrected_ece - got.ece))
    for name, c in (("fake", 0), ("real", 1)):
        assert getattr(got, f"{name}_auc") == approx(roc_auc_score(labels[:, c], scores[:, c]))
        assert getattr(got, f"{name}_brier") == approx(brier_score_loss(labels[:, c], scores[:, c]))
    assert got.ece == approx((got.fake_ece + got.real_ece) / 2)


def test_perfect_answers_score_0_and_the_opposite_1():
    labels = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
    assert official_score(labels, labels).score == 0
    assert official_score(labels, 1 - labels).score == 1


def test_on_a_bin_edge_the_official_ece_weighs_another_bin():
    # 0.5 twice: the curve counts them with 0.45 (3 clips), the histogram with 0.55 (3 clips), of 4
    labels, scores = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.45, 0.5, 0.5, 0.55])
    low, high = abs(2 / 3 - 1.45 / 3), 0.55
    assert ece_corrected(labels, scores) == approx(0.75 * low + 0.25 * high)
    assert ece_official(labels, scores) == approx(0.25 * low + 0.75 * high)


def test_where_bins_do_not_pair_up_the_official_ece_still_answers():
    # the curve sees one bin, the histogram two: the contest's arrays broadcast
    one = np.array([0.05, 0.1]), np.array([0.0, 1.0])
    assert ece_official(one[1], one[0]) == approx(abs(0.5 - 0.075))
    # two against three: the contest's code stops there; ours keeps what pairs up
    scores, labels = np.array([0.05, 0.1, 0.95, 0.95]), np.array([0.0, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="broadcast"):
        as_the_contest_says(np.stack([labels, labels], 1), np.stack([scores, scores], 1))
    assert ece_official(labels, scores) == approx(0.25 * abs(0.5 - 0.075) + 0.25 * 0.05)
    # three against two: surplus means are dropped
    scores, labels = np.array([0.05, 0.1, 0.15]), np.array([0.0, 1.0, 1.0])
    assert ece_official(labels, scores) == approx(1 / 3 * abs(0.5 - 0.075) + 2 / 3 * 0.85)


def test_one_class_is_named_or_nan():
    labels, scores = clips(20)
    labels[:, 1] = 0
    with pytest.raises(ValueError, match="column real"):
        official_score(labels, scores)
    got = partial_score(labels, scores)
    assert np.isnan([got.score, got.auc, got.real_auc]).all()
    assert np.isfinite([got.fake_auc, got.brier, got.ece, got.real_brier]).all()


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([[0, 1]], [[0.5, np.nan]]),
        ([[0, 1]], [[0.5, 1.1]]),
        ([[0, 2]], [[0.5, 0.5]]),
        ([[0, 1]], [0.5, 0.5]),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
def test_what_is_no_score_is_an_error(labels, scores):
    with pytest.raises(ValueError):
        official_score(labels, scores)


def test_floors_of_half_and_half_and_of_the_contests_shares():
    half, prevalence = floors([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert half.score.score == approx(0.5 * 0.5 + 0.25 * 0.25) == prevalence.score.score
    labels = np.zeros((1000, 2))
    labels[:400, 0] = labels[:300, 1] = 1
    half, prevalence = floors(labels)
    assert (prevalence.p_fake, prevalence.p_real) == (0.4, 0.3)
    assert half.score.score == approx(0.25 + 0.25 * 0.25 + 0.25 * 0.15)
    assert prevalence.score.ece == approx(0)
    assert prevalence.score.score == approx(0.25 + 0.25 * (0.24 + 0.21) / 2)
    assert floors([[0, 1], [0, 0]])[0].score.fake_auc == 0.5  # one class: no nan either


def test_chance_alone_leaves_an_ece():
    rng = np.random.default_rng(1)
    wide = {n: ece_floor(rng.random((n, 2))) for n in (24, 800, 20000)}
    assert 0.14 < wide[24].mean < 0.22
    assert 0.025 < wide[800].mean < 0.045
    assert wide[20000].mean < 0.01
    assert wide[24].low < wide[24].mean < wide[24].high
    assert ece_floor(np.full((50, 2), 0.3)) == ece_floor(np.full((50, 2), 0.3))  # same seed, same floor


def test_a_calibrated_model_lies_within_its_floor():
    rng = np.random.default_rng(2)
    scores = rng.random((800, 2))
    labels = rng.random((800, 2)) < scores
    floor = ece_floor(scores)
    assert floor.low < official_score(labels, scores).ece < floor.high


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_roc_is_scikit_learns(decimals):
    labels, scores = clips(500, seed=9, decimals=decimals)
    for got, want in zip(
        roc_points(labels[:, 0], scores[:, 0]),
        roc_curve(labels[:, 0], scores[:, 0], drop_intermediate=False),
        strict=True,
    ):
        assert np.array_equal(got, want)


def test_eer_of_known_distributions():
    assert eer([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])[0] == 0
    assert eer([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])[0] == 1
    assert eer([0, 1, 0, 1], [0.7] * 4) == (0.5, 0.7)
    rate, threshold = eer([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.4, 0.8, 0.9])
    assert rate == approx(1 / 3) and 0.4 <= threshold <= 0.6
    # two normal distributions two deviations apart: Phi(-1), half-way
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 200_000)
    rate, threshold = eer(labels, rng.normal(size=labels.size) + 2 * labels)
    assert rate == approx(0.158655, abs=0.002)
    assert threshold == approx(1.0, abs=0.02)


def test_eer_needs_both_classes():
    with pytest.raises(ValueError, match="both"):
        eer([1, 1], [0.2, 0.4])
