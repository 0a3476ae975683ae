"""Clips with one voice, real or fake: the measures of the ASVspoof challenges."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from app.scoring.arrays import Array, checked
from app.scoring.bootstrap import NO_INTERVAL, Interval, interval_of
from app.scoring.draws import DrawnColumn, draws_of
from app.scoring.roc import eer, roc_points

P_SPOOF, C_MISS, C_FALSE_ALARM = 0.05, 1.0, 10.0  # of ASVspoof 5, track 1
SINGLE = ("real", "fake")  # states of a clip with one voice
EDGE = 1e-6  # probabilities are taken no nearer to 0 and 1


class SingleVoice(NamedTuple):
    """How well real and fake are told apart where there is one voice."""

    clips: int
    eer: float
    min_dcf: float
    cllr: float  # bits; 1: no better than not to look
    eer_range: Interval = NO_INTERVAL  # 95 %
    min_dcf_range: Interval = NO_INTERVAL
    cllr_range: Interval = NO_INTERVAL


def single_voice(
    labels: ArrayLike,
    scores: ArrayLike,
    states: Sequence[object],
    prior: float = 0.5,
    resamples: int = 0,
    seed: int = 0,
) -> SingleVoice | None:
    """Of the clips in state real or fake. None where a kind is missing, or no states are known.

    labels, scores: (clips, 2). Of one voice p_real is 1 - p_fake: both say the same odds, and their mean is taken.
    prior: share of real ones among the single voices that the scores were calibrated on; it stands in the odds, and is
    taken out of them. How many of the judged clips are real changes no measure. resamples: draws behind each interval.
    """
    y, p = checked(labels, scores)
    mine = np.array([state in SINGLE for state in states], bool)
    if not mine.any() or y[mine, 1].min() == y[mine, 1].max():
        return None
    real = y[mine, 1]
    odds = logit(np.clip(p[mine], EDGE, 1 - EDGE))
    evidence = (odds[:, 1] - odds[:, 0]) / 2 - float(logit(np.clip(prior, EDGE, 1 - EDGE)))
    ranges = _ranges(real, evidence, resamples, seed)
    return SingleVoice(int(mine.sum()), eer(real, evidence)[0], min_dcf(real, evidence), cllr(real, evidence), *ranges)


def _ranges(real: Array, evidence: Array, resamples: int, seed: int) -> list[Interval]:
    """Of the three measures, from the same draws; the rates know an order alone, so evidence may be any number."""
    column, found = DrawnColumn(real, expit(evidence)), [[], [], []]  # type: tuple[DrawnColumn, list[list[float]]]
    bits = np.where(real > 0, _bits(-evidence), _bits(evidence))
    for weights in draws_of(len(real), resamples, seed):
        alarms, hits = column.rates(weights)
        found[0] += column.eer(weights).tolist()
        found[1] += _dcf(alarms, hits).min(1).tolist()
        with np.errstate(invalid="ignore", divide="ignore"):  # one class only
            found[2] += sum((weights @ (bits * k)) / (weights @ (1.0 * k)) / 2 for k in (real > 0, real == 0)).tolist()
    return [interval_of(draws) for draws in found]


def real_share(labels: ArrayLike, states: Sequence[object]) -> float:
    """Share of real ones among the clips in state real or fake; .5 where there are none. labels: (clips, 2)."""
    real = [float(label[1]) for label, state in zip(np.asarray(labels), states, strict=True) if state in SINGLE]
    return float(np.mean(real)) if real else 0.5


def min_dcf(bonafide: ArrayLike, scores: ArrayLike) -> float:
    """Lowest normalised detection cost over all thresholds; 1: no better than a constant answer.

    bonafide: (clips,) of 0 and 1, both; scores: (clips,), higher for bonafide. Source: X. Wang et al., ASVspoof 5,
    2024: C_miss (1 - P_spoof) P_miss + C_fa P_spoof P_fa, against the cheaper of accepting and of rejecting all. Raises
    ValueError as roc_points.
    """
    false_alarms, hits, _ = roc_points(bonafide, scores)
    return float(_dcf(false_alarms, hits).min())


def _dcf(false_alarms: Array, hits: Array) -> Array:
    """Normalised, at each threshold."""
    cost: Array = C_MISS * (1 - P_SPOOF) * (1 - hits) + C_FALSE_ALARM * P_SPOOF * false_alarms
    return cost / min(C_MISS * (1 - P_SPOOF), C_FALSE_ALARM * P_SPOOF)


def cllr(bonafide: ArrayLike, evidence: ArrayLike) -> float:
    """Cost of log-likelihood ratios (natural), in bits: 0 is perfect, 1 is what a constant 0 gives.

    bonafide: (clips,) of 0 and 1, both. Source: N. Brümmer and J. du Preez, Computer Speech and Language 20, 2006.
    """
    y, ratio = np.asarray(bonafide, float), np.asarray(evidence, float)
    if y.shape != ratio.shape or set(np.unique(y)) != {0.0, 1.0}:
        raise ValueError("labels must be 0 and 1, both of them, one for each ratio")
    return float((_bits(-ratio[y > 0]).mean() + _bits(ratio[y == 0]).mean()) / 2)


def _bits(values: Array) -> Array:
    bits: Array = np.logaddexp(0, values) / np.log(2)
    return bits
