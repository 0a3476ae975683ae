"""Whole speakers and whole synthesis engines are held out, before anything is mixed.

Recordings that share a speaker, an attack or a parent belong to one group, and a
group lies in one split. Fake-only groups of one engine (the part of `attack`
before "/") are kept together too, so that validation holds engines never heard.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.corpora.manifest import BONAFIDE, Row
from app.errors import UserError

SPLITS = ("train", "select", "calibrate")


@dataclass(frozen=True)
class Group:
    ids: tuple[str, ...]
    fake: int  # clips
    real: int
    engines: frozenset[str]


def balanced(groups: list[Group], splits: dict[str, str], valid_fraction: float) -> bool:
    """Whether each half of validation has at least a third of the fakes, and of the real voices, that it should."""
    for label in ("fake", "real"):
        clips = Counter[str]()
        for group in groups:
            clips[splits[group.ids[0]]] += getattr(group, label)
        if min(clips["select"], clips["calibrate"]) < valid_fraction / 6 * clips.total():
            return False
    return True


def split_groups(groups: list[Group], valid_fraction: float, seed: int, draws: int = 4000) -> dict[str, str]:
    """id -> train | select | calibrate, the best of many random assignments of whole groups.

    Best: both halves of validation have valid_fraction / 2 of the fake and of the real
    clips, each split holds both labels, and each half holds an engine of its own.
    Raises UserError where there are too few groups for that.
    """
    for label in ("fake", "real"):
        if sum(getattr(group, label) > 0 for group in groups) < len(SPLITS):
            raise UserError(
                f"only {sum(getattr(g, label) > 0 for g in groups)} independent groups hold {label} clips; "
                "train and the two halves of validation need one each",
                "add recordings of other speakers or engines, join another corpus (prepare.corpora), or complete "
                "speakers and attacks (in meta.csv, or wherever the corpus tells them)",
            )
    groups = sorted(groups, key=lambda group: group.ids)
    rng = np.random.default_rng(seed)
    shares = np.array([1 - valid_fraction, valid_fraction / 2, valid_fraction / 2])
    sizes = np.array([(group.fake, group.real) for group in groups], float)
    pure = [group.engines if not group.real else frozenset() for group in groups]
    engines = sorted(frozenset().union(*pure))
    holds = np.array([[engine in group for engine in engines] for group in pure]).reshape(len(groups), len(engines))
    best, best_cost = np.zeros(len(groups), int), np.inf
    for _ in range(draws):
        places = rng.choice(3, size=len(groups), p=rng.dirichlet(shares * 6 + 0.5))
        cost = _cost(places, sizes, holds, shares)
        if cost < best_cost:
            best, best_cost = places, cost
    best = _improve(best, best_cost, sizes, holds, shares)
    return {id: SPLITS[place] for group, place in zip(groups, best, strict=True) for id in group.ids}


def _cost(places: np.ndarray, sizes: np.ndarray, holds: np.ndarray, shares: np.ndarray) -> float:
    member = places == np.arange(3)[:, None]  # (splits, groups)
    clips = member @ sizes  # (splits, labels)
    off = (clips / sizes.sum(0) / shares[:, None] - 1) ** 2
    cost = float(off.sum()) + 100.0 * float((clips == 0).sum())
    if holds.shape[1] >= len(SPLITS):
        heard = (member.astype(float) @ holds) > 0  # (splits, engines)
        cost += 2.0 * float((heard.sum(1) == 0).sum())
        cost += float(heard[1:].sum(1).std())  # both halves meet about as many engines
    return cost


def _improve(places: np.ndarray, cost: float, sizes: np.ndarray, holds: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Moves one group at a time while that helps."""
    moved = True
    while moved:
        moved = False
        for group in range(len(places)):
            for place in range(3):
                trial = places.copy()
                trial[group] = place
                if (lower := _cost(trial, sizes, holds, shares)) < cost - 1e-12:
                    places, cost, moved = trial, lower, True
    return places


def groups_of(rows: list[Row], clusters: dict[str, str], digests: dict[str, str] | None = None) -> list[Group]:
    """Groups of recordings that share a speaker, attack, parent, cluster or their very audio, transitively.

    clusters: id -> name, for recordings whose speaker and attack are unknown. digests: id -> digest of the audio.
    """
    links = links_of(rows, clusters, digests)
    known = {row["id"]: row for row in rows}
    for ids in joined(links.values(), known):
        group = _group([known[id] for id in ids])
        if not group.real:  # of one engine or, by a shared speaker, of several
            for engine in group.engines:
                links["engine", engine].extend(group.ids)
    return [_group([known[id] for id in ids]) for ids in joined(links.values(), known)]


def links_of(
    rows: list[Row],
    clusters: dict[str, str],
    digests: dict[str, str] | None,
    kinds: tuple[str, ...] = ("parent", "speaker", "attack", "cluster", "audio"),
) -> dict[tuple[str, str], list[str]]:
    """(kind, name) -> ids of the recordings that it ties together."""
    links: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        id = row["id"]
        attack = row["attack"] if row["attack"] != BONAFIDE else None
        cluster, audio = clusters.get(id), digests[id] if digests else None
        names = {"speaker": row["speaker"], "attack": attack, "cluster": cluster, "audio": audio}
        links["parent", id].append(id)
        if row["parent"]:
            links["parent", row["parent"]].append(id)
        for kind, name in names.items():
            if name and kind in kinds:
                links[kind, name].append(id)
    return links


def sources_of(rows: Iterable[Row]) -> dict[str, str]:
    """id -> source of the real voices, as clusters that stay together: who is recorded in one studio shares its chain.

    UserError where none is known.
    """
    found = {row["id"]: f"source {row['source']}" for row in rows if row["real"] and row.get("source")}
    if not found:
        raise UserError(
            "prepare.hold_out: source, and no real voice tells its source",
            "a column `source` in meta.csv, or prepare.table.source; without one, hold_out: speaker",
        )
    return found


def engine_of(attack: str | None) -> str | None:
    """The engine of an attack: "kokoro" of "kokoro/af_nova"; None for a real voice."""
    return attack.split("/")[0] if attack and attack != BONAFIDE else None


def _group(rows: list[Row]) -> Group:
    labels = Counter("fake" if row["fake"] else "real" for row in rows)
    engines = frozenset(engine for row in rows if (engine := engine_of(row["attack"])))
    return Group(tuple(sorted(row["id"] for row in rows)), labels["fake"], labels["real"], engines)


def joined(links: Iterable[list[str]], known: dict[str, Row]) -> list[list[str]]:
    """Connected components, by union and find."""
    root = {id: id for id in known}

    def find(id: str) -> str:
        while root[id] != id:
            root[id] = root[root[id]]
            id = root[id]
        return id

    for ids in links:
        present = [id for id in ids if id in known]
        for id in present[1:]:
            root[find(id)] = find(present[0])
    found: dict[str, list[str]] = defaultdict(list)
    for id in known:
        found[find(id)].append(id)
    return list(found.values())
