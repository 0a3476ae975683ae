"""Where a model is good and where it is not: the same few numbers for parts of the clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import Array, checked
from app.scoring.bootstrap import NO_INTERVAL, Interval, interval_of
from app.scoring.draws import auc_draws, score_draws
from app.scoring.metrics import partial_score
from app.scoring.roc import auc_or_nan, eer

STATES = ("none", "real", "fake", "real+real", "fake+fake", "real+fake")
MOST_GROUPS = 12  # of one column: more values than this are no slices, numbers are cut into quarters


@dataclass(frozen=True)
class Slice:
    """One group of clips; nan where a number is not defined."""

    name: str
    clips: int
    p_fake: float  # mean
    p_real: float  # mean
    fake_auc: float
    real_auc: float
    fake_eer: float
    real_eer: float
    fake_range: Interval  # of fake_auc
    real_range: Interval
    score: float  # the official one of the group by itself
    score_range: Interval


@dataclass(frozen=True)
class SliceTable:
    """The groups of one column, and against what their AUC and EER are measured."""

    column: str
    against: str
    rows: tuple[Slice, ...]


class Draws(NamedTuple):
    """How intervals are drawn, and the bins of the score's ECE."""

    resamples: int = 0
    seed: int = 0
    ece_bins: int = 10


def slice_tables(
    labels: ArrayLike,
    scores: ArrayLike,
    details: Mapping[str, Sequence[object]],
    bins: int = 4,
    resamples: int = 0,
    seed: int = 0,
    ece_bins: int = 10,
) -> list[SliceTable]:
    """A table for each column of `details` that splits the clips.

    labels, scores: (clips, 2). details: column -> one value a clip; None, "" and nan are left out. `state` (real_fake
    and real+fake are the same) and `attack` have their own comparisons; of the other columns numbers with many values
    are cut at their quantiles into `bins`, over 12 names become "none" and "any", or no table without a "none".
    resamples: draws behind each interval.
    Raises ValueError on wrong shapes or lengths.
    """
    y, p = checked(labels, scores)
    for column, values in details.items():
        if len(values) != len(y):
            raise ValueError(f"{column}: {len(values)} values for {len(y)} clips")
    tables, how = [], Draws(resamples, seed, ece_bins)
    for column, values in details.items():
        if column == "state":
            tables.append(by_state(y, p, values, how))
        elif column == "attack":
            tables.append(by_attack(y, p, values, how))
        else:
            tables.append(by_column(y, p, column, values, how, bins))
    return [table for table in tables if table.rows and (len(table.rows) > 1 or table.column in ("state", "attack"))]


def by_state(labels: Array, scores: Array, states: Sequence[object], how: Draws) -> SliceTable:
    """Each state against all clips of the opposite label: has it a fake voice, those without one."""
    rows = []
    for state, inside in groups_of("state", states, labels):
        opposite = [~inside & (labels[:, c] != labels[inside][0, c]) for c in (0, 1)]
        rows.append(_slice(state, labels, scores, inside, opposite[0], opposite[1], how))
    return SliceTable("state", "all clips with the opposite label", tuple(rows))


def by_attack(labels: Array, scores: Array, attacks: Sequence[object], how: Draws) -> SliceTable:
    """Clips of one attack and no real voice against all clips without a fake voice.

    A clip that names several attacks ("A01+A02") is none's.
    """
    without = labels[:, 0] == 0
    rows = [
        _slice(name, labels, scores, inside, without, np.zeros_like(without), how)
        for name, inside in groups_of("attack", attacks, labels)
    ]
    return SliceTable("attack", "all clips without a fake voice", tuple(rows))


def by_column(
    labels: Array, scores: Array, column: str, values: Sequence[object], how: Draws, bins: int = 4
) -> SliceTable:
    """Each value of a column by itself: its clips with a voice against its clips without."""
    nobody = np.zeros(len(labels), bool)
    rows = [
        _slice(name, labels, scores, inside, nobody, nobody, how)
        for name, inside in groups_of(column, values, labels, bins)
    ]
    return SliceTable(column, "the other clips of the same row", tuple(rows))


def groups_of(column: str, values: Sequence[object], labels: Array, bins: int = 4) -> list[tuple[str, np.ndarray]]:
    """(name, which clips) of each group of a column, as `slice_tables` has them."""
    if column == "state":
        states = np.array(["" if _absent(v) else str(v).replace("_", "+") for v in values])
        return [(name, states == name) for name in (*STATES, *sorted(set(states) - {*STATES, ""})) if name in states]
    if column == "attack":
        names = np.array(["" if _absent(v) else str(v) for v in values])
        alone = (labels[:, 0] == 1) & (labels[:, 1] == 0)
        found = sorted(name for name in set(names[alone]) - {""} if "+" not in name)
        return [(name, alone & (names == name)) for name in found]
    return _groups(values, bins)


def _groups(values: Sequence[object], bins: int) -> list[tuple[str, np.ndarray]]:
    given = [v for v in values if not _absent(v)]
    names = list(dict.fromkeys(map(str, given)))
    if len(names) <= MOST_GROUPS:
        return [(name, np.array([str(v) == name for v in values])) for name in sorted(names)]
    try:
        numbers = np.array([np.nan if _absent(v) else float(str(v)) for v in values])
    except ValueError:
        plain = np.array([str(v) == "none" for v in values])
        return [("none", plain), ("any", ~plain & ~np.array([_absent(v) for v in values]))] if plain.any() else []
    cuts = np.unique(np.nanquantile(numbers, np.linspace(0, 1, bins + 1)))
    last = len(cuts) - 2
    return [
        (f"{low:.3g} to {high:.3g}", (numbers >= low) & ((numbers < high) | ((i == last) & (numbers == high))))
        for i, (low, high) in enumerate(pairwise(cuts))
    ]


def _absent(value: object) -> bool:
    return value is None or value == "" or value != value  # the last: nan


def _slice(
    name: str,
    labels: Array,
    scores: Array,
    inside: np.ndarray,
    fake_others: np.ndarray,
    real_others: np.ndarray,
    how: Draws,
) -> Slice:
    """Means and score over `inside`; AUC and EER over it and the others of that column."""
    columns = [(labels[who, c], scores[who, c]) for c, who in enumerate((inside | fake_others, inside | real_others))]
    fake_auc, real_auc = (auc_or_nan(*column) for column in columns)
    fake_eer, real_eer = (float("nan") if y.min() == y.max() else eer(y, p)[0] for y, p in columns)
    fake_range, real_range = (interval_of(auc_draws(*column, how.resamples, how.seed)) for column in columns)
    y, p = labels[inside], scores[inside]
    score = partial_score(y, p, how.ece_bins).score
    return Slice(
        name=name,
        clips=len(y),
        p_fake=float(p[:, 0].mean()),
        p_real=float(p[:, 1].mean()),
        fake_auc=fake_auc,
        real_auc=real_auc,
        fake_eer=fake_eer,
        real_eer=real_eer,
        fake_range=fake_range,
        real_range=real_range,
        score=score,
        score_range=NO_INTERVAL if np.isnan(score) else interval_of(score_draws(y, p, *how)),
    )
