"""Intervals of the score and of its terms, all from the same draws of clips."""

from collections import defaultdict

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import COLUMNS, Array, checked
from app.scoring.bootstrap import Interval, interval_of
from app.scoring.draws import DrawnColumn, draws_of, score_from

TERMS = ("auc", "brier", "ece", "eer")


def score_ranges(
    labels: ArrayLike, scores: ArrayLike, resamples: int, seed: int, bins: int = 10
) -> dict[str, Interval]:
    """Interval of `score`, of `auc`, `brier` and `ece`, and of both columns' terms (fake_eer, ...), as in `Score`.

    labels, scores: (clips, 2). Raises ValueError on wrong shapes or values.
    """
    y, p = checked(labels, scores)
    columns = [DrawnColumn(y[:, c], p[:, c], bins) for c in range(len(COLUMNS))]
    drawn = defaultdict[str, list[Array]](list)
    for weights in draws_of(len(y), resamples, seed):
        found = [{term: getattr(column, term)(weights) for term in TERMS} for column in columns]
        for name, terms in zip(COLUMNS, found, strict=True):
            for term in TERMS:
                drawn[f"{name}_{term}"].append(terms[term])
        means = {term: np.mean([terms[term] for terms in found], 0) for term in ("auc", "brier", "ece")}
        for term, values in means.items():
            drawn[term].append(values)
        drawn["score"].append(score_from(means["auc"], means["brier"], means["ece"]))
    names = ["score", "auc", "brier", "ece", *(f"{name}_{term}" for name in COLUMNS for term in TERMS)]
    return {name: interval_of(np.concatenate(drawn[name]) if drawn[name] else []) for name in names}


def column_ranges(labels: Array, scores: Array, resamples: int, seed: int) -> tuple[Interval, Interval]:
    """Of the AUC and of the EER of one column; nan where it has one class only. labels, scores: (clips,)."""
    if not len(labels) or labels.min() == labels.max():
        return interval_of([]), interval_of([])
    column = DrawnColumn(labels, scores)
    drawn = [(column.auc(weights), column.eer(weights)) for weights in draws_of(len(labels), resamples, seed)]
    auc, eer = ([each for pair in drawn for each in pair[which]] for which in (0, 1))
    return interval_of(auc), interval_of(eer)
