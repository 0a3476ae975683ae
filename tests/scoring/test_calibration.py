import numpy as np
import pytest
from pytest import approx

from app.scoring.arrays import COLUMNS
from app.scoring.calibration import (
    KINDS,
    NONE,
    Calibration,
    apply_calibration,
    calibrated_logits,
    choose_calibration,
    fit_platt,
    fit_temperature,
    negative_log_likelihood,
)
from app.scoring.ece import ece_corrected


def at_temperature(logits, temperature):
    return apply_calibration(logits, Calibration(NONE.kind, tuple(1 / np.asarray(temperature)), (0.0, 0.0)))


def calibrated(n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that mean what they say, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 2))
    return logits, (rng.random((n, 2)) < 1 / (1 + np.exp(-logits))).astype(int)


@pytest.mark.parametrize("wrong", [(0.4, 3.0), (1.0, 1.0), (8.0, 0.1)])
def test_a_known_temperature_is_found_for_each_column(wrong):
    logits, labels = calibrated()
    assert fit_temperature(logits * wrong, labels) == approx(np.array(wrong), rel=0.04)


def test_nothing_gets_worse_and_ranks_stay():
    for seed in range(20):
        logits, labels = calibrated(n=12, seed=seed)
        logits *= 5
        found = fit_temperature(logits, labels)
        assert ((found >= 0.05) & (found <= 20)).all()
        for c in (0, 1):
            before = negative_log_likelihood(logits[:, c], labels[:, c])
            assert negative_log_likelihood(logits[:, c] / found[c], labels[:, c]) <= before
        ranked = np.take_along_axis(at_temperature(logits, found), np.argsort(logits, 0), 0)
        assert (np.diff(ranked, axis=0) >= 0).all()
        assert (found == fit_temperature(logits, labels)).all()


def test_bounds_and_one_class():
    logits = np.array([[-1.0, 2.0], [1.0, 3.0], [2.0, -1.0]])
    separable, one_class = fit_temperature(logits, [[0, 1], [1, 1], [1, 1]])
    assert separable == approx(0.05)
    assert one_class == 1
    upside_down, _ = fit_temperature(logits, [[1, 1], [0, 1], [0, 1]])
    assert upside_down == approx(20)


def test_probabilities_of_extreme_logits_are_finite():
    with np.errstate(all="raise", under="ignore"):
        got = at_temperature([[-1e4, 1e4], [0.0, 0.0]], [0.05, 20])
    assert got.tolist() == [[0, 1], [0.5, 0.5]]
    assert apply_calibration(np.zeros((3, 4, 2)), NONE).shape == (3, 4, 2)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([[0, np.inf]], [[0, 1]]), ([[0, 1, 2]], [[0, 1, 1]]), ([0, 1], [0, 1]), ([[0, 1]], [[0, 0.5]])],
)
def test_wrong_shapes_and_values_are_errors(logits, labels):
    with pytest.raises(ValueError):
        fit_temperature(logits, labels)


NO_LINES = [((1.0,), (0.0, 0.0)), ((1, 0), (0, 0)), ((1, np.nan), (0, 0)), ((1, -2), (0, 0)), ((1, 1), (0, np.inf))]


@pytest.mark.parametrize(("slope", "shift"), NO_LINES)
def test_what_is_no_calibration_is_an_error(slope, shift):
    with pytest.raises(ValueError, match="no calibration"):
        apply_calibration([[0, 1]], Calibration(NONE.kind, slope, shift))


def test_platts_line_is_found_for_each_column():
    logits, labels = calibrated()
    slope, shift = fit_platt((logits - [0.7, -1.5]) * [0.4, 3.0], labels)
    assert slope == approx(np.array([2.5, 1 / 3]), rel=0.05) and shift == approx(np.array([0.7, -1.5]), abs=0.06)


def test_platt_agrees_with_scikit_learn_on_many_clips():
    from sklearn.linear_model import LogisticRegression

    logits, labels = calibrated(5000, seed=3)
    logits = 3 * logits + 1
    slope, shift = fit_platt(logits, labels)
    for c in range(len(COLUMNS)):
        theirs = LogisticRegression(C=1e6).fit(logits[:, c : c + 1], labels[:, c])
        assert (slope[c], shift[c]) == approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=0.01)


def test_platt_of_what_can_be_separated_and_of_one_class_is_finite():
    logits = np.array([[-1.0, 2.0], [1.0, 3.0], [2.0, -1.0], [-2.0, 1.0]])
    slope, shift = fit_platt(logits, [[0, 1], [1, 1], [1, 1], [0, 1]])
    assert 0.3 < slope[0] < 3 and slope[1] == 1 and shift[1] == 0
    upside_down, _ = fit_platt(logits, [[1, 1], [0, 0], [0, 1], [1, 0]])
    assert upside_down[0] == approx(0.05)  # ranks stay


@pytest.mark.parametrize("seed", range(4))
def test_each_column_gets_the_kind_that_its_fault_asks_for(seed):
    logits, labels = calibrated(2000, seed)
    chosen = choose_calibration((logits - [0.0, 1.5]) * [4.0, 1.0], labels)
    assert chosen.kind[0] in ("temperature", "platt") and chosen.kind[1] == "platt"
    assert chosen.slope == approx((0.25, 1.0), rel=0.2) and chosen.shift == approx((0.0, 1.5), abs=0.3)
    if chosen.kind[0] == "temperature":
        assert chosen.shift[0] == 0.0


def test_a_calibration_that_was_chosen_helps_on_other_clips():
    gains = []
    for seed in range(10):
        (logits, labels), (others, truth) = calibrated(300, seed), calibrated(4000, seed + 100)
        wrong = lambda z: (z - [0.5, -1.0]) * [3.0, 2.0]  # noqa: E731
        chosen = choose_calibration(wrong(logits), labels)
        before, after = (
            np.mean([ece_corrected(truth[:, c], apply_calibration(wrong(others), how)[:, c]) for c in (0, 1)])
            for how in (NONE, chosen)
        )
        gains.append(before - after)
    assert min(gains) > 0.05


def test_a_kind_that_misleads_on_other_voices_is_not_taken():
    """Here the model leans to yes, there to no: the shift that mends the one would make the other worse."""
    logits, labels = calibrated(6000)
    here, there = (logits[:3000] + 1.0, labels[:3000]), (logits[3000:] - [1.0, -1.0], labels[3000:])
    assert choose_calibration(*here).kind == ("platt", "platt")
    assert choose_calibration(*here, others=here) == choose_calibration(*here)
    chosen = choose_calibration(*here, others=there)
    assert chosen.kind[0] != "platt" and chosen.kind[1] == "platt"  # real leans alike on both


def test_a_model_that_means_what_it_says_is_hardly_changed():
    for seed in range(6):
        logits, labels = calibrated(400, seed)
        chosen = choose_calibration(logits, labels)
        assert np.abs(apply_calibration(logits, chosen) - apply_calibration(logits, NONE)).mean() < 0.05


def test_ranks_stay_and_the_same_clips_give_the_same():
    logits, labels = calibrated(60, 5)
    chosen = choose_calibration(logits * 4 + 2, labels)
    assert chosen == choose_calibration(logits * 4 + 2, labels) and set(chosen.kind) <= set(KINDS)
    order = np.argsort(logits, 0)
    assert (np.diff(np.take_along_axis(apply_calibration(logits * 4 + 2, chosen), order, 0), axis=0) >= 0).all()


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_a_column_with_hardly_two_classes_stays_as_it_is(positives):
    labels = np.stack([np.arange(10) < positives, np.arange(10) % 2], 1).astype(int)
    chosen = choose_calibration(np.random.default_rng(0).normal(0, 2, (10, 2)), labels)
    assert (chosen.kind[0], chosen.slope[0], chosen.shift[0]) == ("none", 1.0, 0.0)


def test_it_is_written_and_read_and_told_in_words():
    one = Calibration(("temperature", "platt"), (0.5, 0.76), (0.0, -0.21))
    assert Calibration.from_json(one.as_json()) == one
    assert one.words == ("T 2.00", "0.76 z - 0.21") and NONE.words == ("none", "none")
    assert 1 / (1 + np.exp(-calibrated_logits([[1.0, 2.0]], one))) == approx(apply_calibration([[1.0, 2.0]], one))
