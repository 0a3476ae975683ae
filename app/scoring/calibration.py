"""Temperature scaling: makes confidence match the share of right answers, and keeps the ranking.

Source: Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017;
here one temperature for each of two independent sigmoids.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from app.scoring.arrays import Array

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Temperature of each column that minimises the negative log-likelihood.

    logits, labels: (clips, 2), labels 0 or 1. Returns (2,), each in [0.05, 20];
    above 1 the model was too sure. Deterministic, and never worse than 1 on the
    clips given. A column with one class only has 1: nothing can be learnt from
    it. Separable columns end at 0.05. Raises ValueError on shapes, values or
    logits that are not finite.
    """
    z, y = _finite(logits), np.asarray(labels, float)
    if z.ndim != 2 or z.shape != y.shape or not len(z):
        raise ValueError(f"logits {z.shape} and labels {y.shape} must both be (clips, 2)")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    return np.array([_fit_column(z[:, c], y[:, c]) for c in (0, 1)])


def apply_temperature(logits: ArrayLike, temperature: ArrayLike) -> Array:
    """Probabilities, sigmoid(logits / temperature).

    logits: (..., 2), temperature: (2,), positive. Returns (..., 2) in [0, 1];
    logits of any size are safe; beyond about 37 T they all give 1, and tie. Raises ValueError on shapes or values.
    """
    z, t = _finite(logits), np.asarray(temperature, float)
    if t.shape != (2,) or not (np.isfinite(t) & (t > 0)).all():
        raise ValueError(f"temperature must be two positive numbers, not {t.tolist()}")
    return expit(z / t)


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


def _finite(logits: ArrayLike) -> Array:
    z = np.asarray(logits, float)
    if z.ndim < 1 or z.shape[-1] != 2 or not np.isfinite(z).all():
        raise ValueError(f"logits {z.shape} must be finite, with columns (fake, real)")
    return z
