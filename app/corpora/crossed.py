"""A split where every speaker was faked by every engine: no group of recordings stands apart from the others.

Then speakers are dealt to the splits, and engines are, each by itself; a recording stays where both of its lie in
one split. One whose speaker is held out and whose engine is not (or the other way round) would carry a known voice
or a known engine over, so it is left out. A block design: what is kept are the blocks on the diagonal.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from app.corpora.manifest import BONAFIDE, Row
from app.corpora.split import SPLITS, balanced, engine_of, groups_of, joined, links_of, split_groups
from app.errors import UserError

UNUSED = "unused"  # the split of what is left out
LOST = 3.0  # what it costs to leave all fakes out, against a share of real voices that is wholly missed
FAKE = 0.25  # what a missed share of fakes costs: those of few engines may be few, if training keeps its own
DRAWS = 2000
BETTER = 1.5  # so much more of validation, or whole groups are kept: they lose no recording


def split_rows(
    rows: list[Row], clusters: dict[str, str], digests: dict[str, str], valid_fraction: float, seed: int
) -> tuple[dict[str, str], str]:
    """(id -> split, a sentence on what was left out or ""): by whole groups, or crossed where that is no split.

    clusters, digests: as `groups_of` takes them. Raises UserError where neither way gives each split both labels.
    """
    groups, refused, splits = groups_of(rows, clusters, digests), None, dict[str, str]()
    try:
        splits = split_groups(groups, valid_fraction, seed)
    except UserError as error:
        refused = error
    if not refused and balanced(groups, splits, valid_fraction):
        return splits, ""
    crossed = split_crossed(rows, clusters, digests, valid_fraction, seed)
    if crossed is not None and (refused or _worth(rows, crossed) > BETTER * _worth(rows, splits)):
        return crossed, _told(rows, crossed) if UNUSED in crossed.values() else ""
    if refused:
        raise refused
    return splits, ""


def _worth(rows: Iterable[Row], places: dict[str, str]) -> int:
    """The fewest clips of a label in a half of validation: what its score rests on."""
    clips = Counter((places[row["id"]], row["fake"]) for row in rows)
    return min(clips[split, fake] for split in ("select", "calibrate") for fake in (0, 1))


def split_crossed(
    rows: list[Row], clusters: dict[str, str], digests: dict[str, str], valid_fraction: float, seed: int
) -> dict[str, str] | None:
    """id -> train, select, calibrate or UNUSED; None where there are too few speakers or engines for it.

    Speakers count with all that parent, audio or cluster ties to them.
    """
    known = {row["id"]: row for row in rows}
    tied = joined(links_of(rows, clusters, digests, ("parent", "speaker", "cluster", "audio")).values(), known)
    people = sorted(map(sorted, tied))  # whatever the order of the rows
    person = {id: number for number, ids in enumerate(people) for id in ids}
    engines = sorted({engine for row in rows if (engine := _engine(row))})
    column = {engine: number + 1 for number, engine in enumerate(engines)}  # 0: no engine
    table = np.zeros((len(people), len(engines) + 1))  # fake clips of each person by each engine
    real = np.zeros(len(people))
    for row in rows:
        if row["fake"]:
            table[person[row["id"]], column.get(_engine(row) or "", 0)] += 1
        else:
            real[person[row["id"]]] += 1
    if (real > 0).sum() < len(SPLITS) or len(engines) < len(SPLITS):
        return None
    shares = np.array([1 - valid_fraction, valid_fraction / 2, valid_fraction / 2])
    who, what, cost = _deal(table, real, shares, seed)
    if cost >= _EMPTY:
        return None
    places = {}
    for row in rows:
        mine, engine = who[person[row["id"]]], _engine(row)
        kept = engine is None or what[column[engine] - 1] == mine
        places[row["id"]] = SPLITS[mine] if kept else UNUSED
    return places


def _told(rows: Iterable[Row], places: dict[str, str]) -> str:
    """A sentence on what was left out."""
    lost = Counter("fake" if row["fake"] else "real" for row in rows if places[row["id"]] == UNUSED)
    return (
        f"speakers and engines are crossed here, so both were dealt to the splits: {sum(lost.values())} recordings "
        f"({lost['fake']} fake, {lost['real']} real) of a held-out speaker by a known engine, or the other way round, "
        "are left out"
    )


_EMPTY = 100.0


def _engine(row: Row) -> str | None:
    return None if (row["attack"] or BONAFIDE) == BONAFIDE else engine_of(row["attack"])


def _deal(table: np.ndarray, real: np.ndarray, shares: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(split of each person, split of each engine, cost), the best of many draws, bettered one move at a time."""
    rng = np.random.default_rng(seed)
    people, engines = len(real), table.shape[1] - 1
    best_who, best_what, best = np.zeros(people, int), np.zeros(engines, int), np.inf
    for _ in range(DRAWS):
        who = rng.choice(3, size=people, p=shares)
        what = rng.choice(3, size=engines, p=rng.dirichlet(shares * 6 + 0.5))
        if len(set(what.tolist())) == len(SPLITS) and (cost := _cost(who, what, table, real, shares)) < best:
            best_who, best_what, best = who, what, cost
    moved = True
    while moved and np.isfinite(best):
        moved = False
        for places in (best_what, best_who):
            for item in range(len(places)):
                before = places[item]
                for place in range(3):
                    places[item] = place
                    if (cost := _cost(best_who, best_what, table, real, shares)) < best - 1e-12:
                        best, before, moved = cost, place, True
                places[item] = before
    return best_who, best_what, best


def _cost(who: np.ndarray, what: np.ndarray, table: np.ndarray, real: np.ndarray, shares: np.ndarray) -> float:
    """How far labels and shares are off, and what is lost."""
    by_person = (who == np.arange(3)[:, None]).astype(float)  # (splits, people)
    fakes = by_person @ table  # (splits, engines + 1)
    allowed = np.concatenate([np.ones((3, 1)), what == np.arange(3)[:, None]], 1)
    kept = (fakes * allowed).sum(1)
    clips = np.stack([kept, by_person @ real])
    off = (clips / np.maximum(clips.sum(1, keepdims=True), 1) / shares - 1) ** 2
    lost = 1 - kept.sum() / max(table.sum(), 1)
    return float(off @ np.ones(3) @ (FAKE, 1.0)) + LOST * float(lost) + _EMPTY * float((clips == 0).sum())
