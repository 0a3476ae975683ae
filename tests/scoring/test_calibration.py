import numpy as np
import pytest
from pytest import approx

from app.scoring.calibration import apply_temperature, fit_temperature, negative_log_likelihood


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
        ranked = np.take_along_axis(apply_temperature(logits, found), np.argsort(logits, 0), 0)
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
        got = apply_temperature([[-1e4, 1e4], [0.0, 0.0]], [0.05, 20])
    assert got.tolist() == [[0, 1], [0.5, 0.5]]
    assert apply_temperature(np.zeros((3, 4, 2)), [1, 1]).shape == (3, 4, 2)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [([[0, np.inf]], [[0, 1]]), ([[0, 1, 2]], [[0, 1, 1]]), ([0, 1], [0, 1]), ([[0, 1]], [[0, 0.5]])],
)
def test_wrong_shapes_and_values_are_errors(logits, labels):
    with pytest.raises(ValueError):
        fit_temperature(logits, labels)


@pytest.mark.parametrize("temperature", [1.0, [1, 0], [1, np.nan], [1, -2]])
def test_a_temperature_is_two_positive_numbers(temperature):
    with pytest.raises(ValueError):
        apply_temperature([[0, 1]], temperature)
