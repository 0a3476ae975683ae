"""Clips drawn with replacement, many times at once: the measures of every draw, for intervals.

A draw is written as weights, how often each clip is in it, so that nothing is sorted twice.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.scoring.arrays import Array, checked
from app.scoring.ece import ece_of_bins

AT_ONCE = 1_000_000  # weights held together


def draws_of(clips: int, resamples: int, seed: int) -> Iterator[Array]:
    """Blocks of weights, (draws, clips) float64, `resamples` rows in all; each row sums to `clips`."""
    rng = np.random.default_rng(seed)
    block = max(1, AT_ONCE // max(1, clips))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, clips, (rows, clips)) + clips * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * clips).reshape(rows, clips).astype(float)


class DrawnColumn:
    """One column's clips, ready for any weights. labels, scores: (clips,)."""

    def __init__(self, labels: Array, scores: Array, bins: int = 10) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._ends = np.append(np.flatnonzero(np.diff(scores[self._order])), len(scores) - 1)
        self._positive = labels[self._order]
        self._square = (scores - labels) ** 2
        edges = np.linspace(0, 1, bins + 1)
        lower = np.eye(bins)[np.searchsorted(edges[1:-1], scores)]
        upper = np.eye(bins)[np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)]
        self._sums = np.concatenate([lower, lower * labels[:, None], lower * scores[:, None], upper], 1)

    def auc(self, weights: Array) -> Array:
        """(draws,); nan where a draw has one class only."""
        alarms, hits = self.rates(weights)
        area: Array = (np.diff(alarms) * (hits[:, 1:] + hits[:, :-1])).sum(1) / 2
        return area

    def eer(self, weights: Array) -> Array:
        """(draws,) equal error rates, as `app.scoring.roc.eer`; nan where a draw has one class only."""
        alarms, hits = self.rates(weights)
        lead = (1 - hits) - alarms  # falls from 1 to -1
        after = np.maximum((lead <= 0).argmax(1), 1)
        rows = np.arange(len(lead))
        before = lead[rows, after - 1]
        share = before / (before - lead[rows, after])
        low, high = alarms[rows, after - 1], alarms[rows, after]
        return low + share * (high - low)

    def rates(self, weights: Array) -> tuple[Array, Array]:
        """False alarms and hits at falling thresholds, each (draws, thresholds + 1) and rising from 0 to 1, or nan."""
        ordered = weights[:, self._order]
        hits = (ordered * self._positive).cumsum(1)[:, self._ends]
        alarms = ordered.cumsum(1)[:, self._ends] - hits
        both = (hits[:, -1:] > 0) & (alarms[:, -1:] > 0)
        found = []
        for counts in (alarms, hits):
            shares = np.divide(counts, counts[:, -1:], out=np.full(counts.shape, np.nan), where=both)
            found.append(np.pad(shares, ((0, 0), (1, 0))))
        return found[0], found[1]

    def brier(self, weights: Array) -> Array:
        """(draws,)."""
        return weights @ self._square / weights.sum(1)

    def ece(self, weights: Array) -> Array:
        """(draws,), the contest's."""
        means, positives, totals, counts = np.split(weights @ self._sums, 4, axis=1)
        rows = zip(means, positives, totals, counts, strict=True)
        return np.array([ece_of_bins(*row) for row in rows])


def score_draws(labels: ArrayLike, scores: ArrayLike, resamples: int, seed: int, bins: int = 10) -> Array:
    """The official score of each draw, (resamples,); nan where a draw has one class only in a column.

    labels, scores: (clips, 2). The same seed and number of clips draw the same clips: two models can be compared draw
    by draw. Raises ValueError on wrong shapes or values.
    """
    y, p = checked(labels, scores)
    columns = [DrawnColumn(y[:, c], p[:, c], bins) for c in (0, 1)]
    found = [np.empty(0)]
    for weights in draws_of(len(y), resamples, seed):
        found.append(score_from(*np.mean([(o.auc(weights), o.brier(weights), o.ece(weights)) for o in columns], 0)))
    return np.concatenate(found)


def score_from(auc: Array, brier: Array, ece: Array) -> Array:
    """The official score of each draw, from the means of its terms over both columns."""
    return 0.5 * (1 - auc) + 0.25 * brier + 0.25 * ece


def mean_draws(values: Array, resamples: int, seed: int) -> NDArray[np.float64]:
    """The mean of each draw, (resamples,). values: (clips,)."""
    return np.concatenate(
        [np.empty(0), *(weights @ values / len(values) for weights in draws_of(len(values), resamples, seed))]
    )
