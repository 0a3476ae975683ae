"""Where a model is good and where it is not: the same few numbers for parts of the clips."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from app.scoring.arrays import Array, checked
from app.scoring.bootstrap import NO_INTERVAL, Interval, interval_of
from app.scoring.draws import mean_draws, score_draws
from app.scoring.metrics import partial_score
from app.scoring.ranges import column_ranges
from app.scoring.roc import auc_or_nan, eer

STATES = ("none", "real", "fake", "real+real", "fake+fake", "real+fake")
MOST_GROUPS = 12  # of one column: more values than this are no slices, numbers are cut into quarters
NO_SLICES = ("speaker",)  # `attacks` draws by them; as groups they would be too many and too small
FEWEST = 10  # clips of a group with intervals; and of a name of its own, where there are more than MOST_GROUPS


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
    fake_eer_range: Interval
    real_eer_range: Interval
    brier: float  # mean of both columns
    brier_range: Interval
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
    between: Callable[[], None] = lambda: None  # called after each group


NO_DRAWS = Draws()


def slice_tables(
    labels: ArrayLike,
    scores: ArrayLike,
    details: Mapping[str, Sequence[object]],
    bins: int = 4,
    how: Draws = NO_DRAWS,
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
    tables = []
    for column, values in details.items():
        if column in NO_SLICES:
            continue
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
    if column == "language":
        values = [value if _absent(value) else "+".join(sorted({*str(value).split("+")})) for value in values]
    return _groups(values, bins)


def _groups(values: Sequence[object], bins: int) -> list[tuple[str, np.ndarray]]:
    given = [v for v in values if not _absent(v)]
    names = list(dict.fromkeys(map(str, given)))
    if len(names) <= MOST_GROUPS:
        return [(name, np.array([str(v) == name for v in values])) for name in sorted(names)]
    try:
        numbers = np.array([np.nan if _absent(v) else float(str(v)) for v in values])
    except ValueError:
        return _most_and_rest(values)
    cuts = np.unique(np.nanquantile(numbers, np.linspace(0, 1, bins + 1)))
    last = len(cuts) - 2
    return [
        (f"{low:.3g} to {high:.3g}", (numbers >= low) & ((numbers < high) | ((i == last) & (numbers == high))))
        for i, (low, high) in enumerate(pairwise(cuts))
    ]


def _most_and_rest(values: Sequence[object]) -> list[tuple[str, np.ndarray]]:
    """The names of most clips, and one group of all others; none where no name has enough clips."""
    names = np.array(["" if _absent(v) else str(v) for v in values])
    counted = Counter(names[names != ""].tolist())
    most = sorted(name for name, clips in counted.most_common(MOST_GROUPS - 1) if clips >= FEWEST)
    rest = (names != "") & ~np.isin(names, most)
    others = [("any" if most == ["none"] else "all others", rest)] if rest.any() else []
    return [(name, names == name) for name in most] + others if most else []


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
    if inside.sum() < FEWEST:  # draws of so few are too much alike
        how = how._replace(resamples=0)
    ranges = [column_ranges(*column, how.resamples, how.seed) for column in columns]
    y, p = labels[inside], scores[inside]
    score, square = partial_score(y, p, how.ece_bins).score, ((p - y) ** 2).mean(1)
    how.between()
    return Slice(
        name=name,
        clips=len(y),
        p_fake=float(p[:, 0].mean()),
        p_real=float(p[:, 1].mean()),
        fake_auc=fake_auc,
        real_auc=real_auc,
        fake_eer=fake_eer,
        real_eer=real_eer,
        fake_range=ranges[0][0],
        real_range=ranges[1][0],
        fake_eer_range=ranges[0][1],
        real_eer_range=ranges[1][1],
        brier=float(square.mean()),
        brier_range=interval_of(mean_draws(square, how.resamples, how.seed)),
        score=score,
        score_range=NO_INTERVAL
        if np.isnan(score)
        else interval_of(score_draws(y, p, how.resamples, how.seed, how.ece_bins)),
    )
