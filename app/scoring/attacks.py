"""Single voices, attack by attack: is a fake told from real voices whichever engine made it, and in its own language?

One AUC over all single voices goes by the attack that is heard most, and a model that knows languages or codecs has a
good one for nothing. So each attack counts once, and its clips are compared within their language too. Intervals draw
whole voices, not clips: another day's people and engine voices, not another day's sentences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from app.scoring.arrays import Array, checked
from app.scoring.bootstrap import NO_INTERVAL, Interval, interval_of
from app.scoring.detection import EDGE, SINGLE
from app.scoring.draws import AT_ONCE, DrawnColumn

Mask = NDArray[np.bool_]
FEWEST = 5  # clips of an attack, and of the real voices that it is compared with


@dataclass(frozen=True)
class Attack:
    """AUC of fake against real; nan where there is nothing to compare."""

    name: str  # of an engine, or MACRO
    clips: int
    auc: float  # against all single real voices
    auc_range: Interval
    within: float  # against those of the same language, languages weighted by their pairs of clips
    within_range: Interval


MACRO = "mean over attacks"


def attacks_of(
    labels: ArrayLike,
    scores: ArrayLike,
    states: Sequence[object],
    attacks: Sequence[object],
    languages: Sequence[object],
    speakers: Sequence[object],
    resamples: int = 0,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
) -> tuple[Attack, ...]:
    """One for each engine (what stands before "/" in an attack) of the clips in state fake, then their plain mean.

    labels, scores: (clips, 2). speakers: who speaks; of a fake without one its attack is the voice, a real clip without
    one is a voice of its own. resamples: draws behind each interval; between: called after each attack. () where states
    or attacks are not known. An attack with less than FEWEST clips is left out; one has no `within` unless FEWEST of
    its clips, and FEWEST real ones, are of shared languages.
    """
    y, p = checked(labels, scores)
    mine = np.array([state in SINGLE for state in states], bool)
    if not mine.any():
        return ()
    at = np.flatnonzero(mine).tolist()
    fake = y[at, 0] > 0
    odds = logit(np.clip(p[at], EDGE, 1 - EDGE))
    evidence = expit((odds[:, 0] - odds[:, 1]) / 2)
    engine = np.array([str(attacks[n] or "").split("/")[0] for n in at])
    engine[~fake] = ""
    language = np.array([str(languages[n] or "") for n in at])
    voice = [
        str(speakers[n] or (attacks[n] if is_fake else "") or f"clip {n}") for n, is_fake in zip(at, fake, strict=True)
    ]
    weights = _draws_of_voices([f"{f} {name}" for f, name in zip(fake, voice, strict=True)], resamples, seed)
    found, drawn = [], []
    for name in sorted(set(engine[fake]) - {""}):
        those = fake & (engine == name)
        if min(those.sum(), (~fake).sum()) < FEWEST:
            continue
        values = np.array(
            [_auc(those | ~fake, those, evidence, weights), _within(those, fake, language, evidence, weights)]
        )
        drawn.append(values)
        found.append(_attack(name, int(those.sum()), values))
        between()
    if found:
        together = np.array(drawn)
        shared = np.isfinite(together[:, 1, :1]).any(1)
        means = [together[:, 0].mean(0), together[shared, 1].mean(0) if shared.any() else together[0, 1] * np.nan]
        found.append(_attack(MACRO, sum(one.clips for one in found), np.array(means)))
    return tuple(found)


def _attack(name: str, clips: int, values: Array) -> Attack:
    """values: (2, 1 + draws), the first of each row that of the clips themselves."""
    ranges = [interval_of(row[1:]) if len(row) > 1 else NO_INTERVAL for row in values]
    return Attack(name, clips, float(values[0, 0]), ranges[0], float(values[1, 0]), ranges[1])


def _auc(inside: Mask, positive: Mask, evidence: Array, weights: Array) -> Array:
    """(1 + draws,)"""
    column, at_once = (
        DrawnColumn(positive[inside].astype(float), evidence[inside]),
        max(1, AT_ONCE // int(inside.sum())),
    )
    blocks = range(0, len(weights), at_once)
    return np.concatenate([column.auc(weights[start : start + at_once, inside]) for start in blocks])


def _within(those: Mask, fake: Mask, language: np.ndarray, evidence: Array, weights: Array) -> Array:
    """(1 + draws,): the AUC of each language, weighted by its pairs."""
    total, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    fakes = reals = 0
    for name in sorted(set(language[those]) - {""}):
        ours, theirs = those & (language == name), ~fake & (language == name)
        if not theirs.any():
            continue
        fakes, reals = fakes + int(ours.sum()), reals + int(theirs.sum())
        count = weights[:, ours].sum(1) * weights[:, theirs].sum(1)
        auc = _auc(ours | theirs, ours, evidence, weights)
        total += np.where(count > 0, np.nan_to_num(auc) * count, 0)
        pairs += count
    if min(fakes, reals) < FEWEST:
        return np.full(len(weights), np.nan)
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _draws_of_voices(voices: Sequence[str], resamples: int, seed: int) -> Array:
    """(1 + resamples, clips): all once; then how often the voice of each clip was drawn, of as many as there are."""
    names, who = np.unique(np.array(voices), return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = (
        rng.multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
        if resamples
        else np.empty((0, len(names)))
    )
    return np.concatenate([np.ones((1, len(voices))), drawn[:, who].astype(float)])
