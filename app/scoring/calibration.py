"""Calibration: makes confidence match the share of right answers, and keeps the ranking.

Each output has its own: none, a temperature (Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks,
ICML 2017), or slope and shift (Platt: Probabilistic outputs for support vector machines, 1999), whichever has the lower
Brier score + ECE on clips that it was not fitted on: other clips, and other voices where there are any. What suits some
voices may mislead on others, so the worse of the two counts.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from app.scoring.arrays import COLUMNS, Array
from app.scoring.ece import ece_official

LOWEST, HIGHEST = 0.05, 20.0  # of a temperature, and of the slope of Platt's
FURTHEST = 10.0  # shift, in nats
FOLDS, REPEATS = 5, 4
KINDS = ("none", "temperature", "platt")  # the simplest first
TIE = 0.002  # so near the best in Brier + ECE, the simpler one is taken


class Calibration(NamedTuple):
    """Of each column: p = sigmoid(slope * logit + shift), slope above 0."""

    kind: tuple[str, str]  # of KINDS
    slope: tuple[float, float]
    shift: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """Raises KeyError or TypeError for what is none."""
        return cls(*(tuple(values[name]) for name in cls._fields))

    @property
    def words(self) -> tuple[str, str]:
        """For a table: none, T 1.32, or 0.76 z + 0.21."""
        told = []
        for kind, slope, shift in zip(*self, strict=True):
            platt = f"{slope:.2f} z {'+' if shift >= 0 else '-'} {abs(shift):.2f}"
            told.append({"none": "none", "temperature": f"T {1 / slope:.2f}", "platt": platt}[kind])
        return told[0], told[1]


NONE = Calibration(("none", "none"), (1.0, 1.0), (0.0, 0.0))


def choose_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    seed: int = 0,
    bins: int = 10,
    others: tuple[ArrayLike, ArrayLike] | None = None,
) -> Calibration:
    """The kind with the lowest Brier score + ECE over FOLDS folds, REPEATS times, then fitted on all.

    logits, labels: (clips, 2), labels 0 or 1. others: as these, of other voices, on which nothing is fitted: the
    kind whose worse cost, here and there, is the lowest. Deterministic. A column with one class, or with fewer than two
    clips of one, stays as it is: nothing can be learnt from it. Raises ValueError as fit_temperature does.
    """
    z, y = _pair(logits, labels)
    theirs = _pair(*others) if others else (np.empty((0, 2)), np.empty((0, 2)))
    found = [
        _choose_column(z[:, c], y[:, c], seed, bins, (theirs[0][:, c], theirs[1][:, c])) for c in range(len(COLUMNS))
    ]
    kind, slope, shift = zip(*found, strict=True)
    return Calibration(kind, slope, shift)


def apply_calibration(logits: ArrayLike, calibration: Calibration) -> Array:
    """Probabilities (..., 2) in [0, 1] of logits (..., 2). Raises ValueError on shapes or values."""
    z, slope, shift = _finite(logits), np.array(calibration.slope, float), np.array(calibration.shift, float)
    if slope.shape != (2,) or shift.shape != (2,) or not (np.isfinite([slope, shift]).all() and (slope > 0).all()):
        raise ValueError(f"no calibration: slope {slope.tolist()}, shift {shift.tolist()}")
    return expit(z * slope + shift)


def calibrated_logits(logits: ArrayLike, calibration: Calibration) -> Array:
    """What the probabilities are the sigmoid of, (..., 2)."""
    return _finite(logits) * np.array(calibration.slope) + np.array(calibration.shift)


def uncalibrated(probabilities: ArrayLike, calibration: Calibration) -> Array:
    """What these were, (..., 2), before `apply_calibration`; 0 and 1 stay what they are."""
    return expit((logit(np.asarray(probabilities, float)) - np.array(calibration.shift)) / np.array(calibration.slope))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Temperature of each column that minimises the negative log-likelihood.

    logits, labels: (clips, 2), labels 0 or 1. Returns (2,), each in [0.05, 20];
    above 1 the model was too sure. Deterministic, and never worse than 1 on the
    clips given. A column with one class only has 1: nothing can be learnt from
    it. Separable columns end at 0.05. Raises ValueError on shapes, values or
    logits that are not finite.
    """
    z, y = _pair(logits, labels)
    return np.array([_fit_column(z[:, c], y[:, c]) for c in (0, 1)])


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """(slope, shift) of each column, (2,) each, that minimise the negative log-likelihood of Platt's softened labels.

    Arguments and errors as fit_temperature; slopes lie in [0.05, 20], so that ranks stay, shifts in [-10, 10]. A
    column with one class only has (1, 0).
    """
    z, y = _pair(logits, labels)
    found = [_fit_platt_column(z[:, c], y[:, c]) for c in (0, 1)]
    return np.array([slope for slope, _ in found]), np.array([shift for _, shift in found])


def negative_log_likelihood(logits: Array, labels: Array) -> float:
    """Mean over clips, in nats; logits, labels: (clips,)."""
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def _fit_column(logits: Array, labels: Array) -> float:
    if labels.min() == labels.max():
        return 1.0

    # convex in 1/T, hence a single valley over log T
    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    from scipy.optimize import minimize_scalar  # a third of a second, which whoever only scores is spared

    low, high = np.log(LOWEST), np.log(HIGHEST)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    # the search never tries the ends themselves, and must not lose to doing nothing
    best = min((low, high, 0.0, float(found.x)), key=loss)
    return float(np.clip(np.exp(best), LOWEST, HIGHEST))


def _fit_platt_column(logits: Array, labels: Array) -> tuple[float, float]:
    if labels.min() == labels.max():
        return 1.0, 0.0
    from scipy.optimize import minimize

    positives, negatives = labels.sum(), len(labels) - labels.sum()
    # clips of a class are not all certain: what separates them is finite
    targets = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: Array) -> tuple[float, Array]:
        values = line[0] * logits + line[1]
        off = expit(values) - targets
        return float(np.mean(np.logaddexp(0, values) - targets * values)), np.array([off @ logits, off.sum()]) / len(
            off
        )

    bounds = [(LOWEST, HIGHEST), (-FURTHEST, FURTHEST)]
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])


def _choose_column(
    logits: Array, labels: Array, seed: int, bins: int, others: tuple[Array, Array]
) -> tuple[str, float, float]:
    folds = min(FOLDS, int(labels.sum()), int(len(labels) - labels.sum()))
    if folds < 2:
        return "none", 1.0, 0.0
    costs = dict.fromkeys(KINDS, 0.0)
    for repeat in range(REPEATS):
        place = _folds(labels, folds, np.random.default_rng([seed, repeat]))
        for kind in KINDS:
            p = np.empty(len(labels))
            for fold in range(folds):
                out = place == fold
                slope, shift = _fit(kind, logits[~out], labels[~out])
                p[out] = expit(slope * logits[out] + shift)
            costs[kind] += _cost(p, labels, bins) / REPEATS
    fits = {kind: _fit(kind, logits, labels) for kind in KINDS}
    if len(others[0]):
        for kind, (slope, shift) in fits.items():
            costs[kind] = max(costs[kind], _cost(expit(slope * others[0] + shift), others[1], bins))
    best = next(kind for kind in KINDS if costs[kind] <= min(costs.values()) + TIE)
    return best, *fits[best]


def _cost(p: Array, labels: Array, bins: int) -> float:
    return float(np.mean((p - labels) ** 2)) + ece_official(labels, p, bins)


def _fit(kind: str, logits: Array, labels: Array) -> tuple[float, float]:
    """(slope, shift)."""
    if kind == "none":
        return 1.0, 0.0
    return (1 / _fit_column(logits, labels), 0.0) if kind == "temperature" else _fit_platt_column(logits, labels)


def _folds(labels: Array, folds: int, rng: np.random.Generator) -> Array:
    """The fold of each clip; each has its share of both classes."""
    place = np.empty(len(labels), int)
    for value in (0, 1):
        own = rng.permutation(np.flatnonzero(labels == value))
        place[own] = np.arange(len(own)) % folds
    return place


def _pair(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    z, y = _finite(logits), np.asarray(labels, float)
    if z.ndim != 2 or z.shape != y.shape or not len(z):
        raise ValueError(f"logits {z.shape} and labels {y.shape} must both be (clips, 2)")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    return z, y


def _finite(logits: ArrayLike) -> Array:
    z = np.asarray(logits, float)
    if z.ndim < 1 or z.shape[-1] != 2 or not np.isfinite(z).all():
        raise ValueError(f"logits {z.shape} must be finite, with columns (fake, real)")
    return z
