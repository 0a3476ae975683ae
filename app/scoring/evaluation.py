"""All that is said about the scores of one data set, put together."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.scoring.bootstrap import Interval, interval_of
from app.scoring.curves import Reliability, Roc, reliability_curves, roc_curves
from app.scoring.decisions import Decision, Threshold, decisions
from app.scoring.detection import SingleVoice, single_voice
from app.scoring.draws import auc_draws, score_draws
from app.scoring.ece import EceFloor, ece_floor
from app.scoring.floors import Floor, floors
from app.scoring.metrics import Score, partial_score
from app.scoring.scored import Scored
from app.scoring.slices import SliceTable, slice_tables


@dataclass(frozen=True)
class Evaluation:
    """One data set: a headline, and what stands behind it."""

    name: str
    clips: int
    score: Score
    interval: Interval  # of score.score
    fake_range: Interval  # of score.fake_auc
    real_range: Interval
    ece_floor: EceFloor
    floors: tuple[Floor, ...] = ()
    rocs: tuple[Roc, ...] = ()
    before: tuple[Reliability, ...] = ()  # without calibration; () if not known
    after: tuple[Reliability, ...] = ()
    slices: tuple[SliceTable, ...] = ()
    decisions: tuple[Decision, ...] = ()
    single: SingleVoice | None = None


def evaluate_scores(
    scored: Scored,
    *,
    thresholds: Iterable[Threshold] = (),
    prior: float = 0.5,
    bins: int = 10,
    resamples: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Everything the report shows of the numbers of one data set.

    thresholds: of the model; prior: of a single voice to be real, where the scores were calibrated; bins: of the ECE;
    resamples: draws behind each interval. `state` among its details tells which clips have one voice. What one class
    alone leaves undefined is nan.
    """
    labels, scores = scored.labels, scored.scores
    before = scored.uncalibrated
    states = scored.details.get("state", [None] * len(labels))
    return Evaluation(
        name=scored.name,
        clips=len(labels),
        score=partial_score(labels, scores, bins),
        interval=interval_of(score_draws(labels, scores, resamples, seed, bins)),
        fake_range=interval_of(auc_draws(labels[:, 0], scores[:, 0], resamples, seed)),
        real_range=interval_of(auc_draws(labels[:, 1], scores[:, 1], resamples, seed)),
        ece_floor=ece_floor(scores, seed=seed, bins=bins),
        floors=tuple(floors(labels, bins)),
        rocs=tuple(roc_curves(labels, scores)),
        before=() if before is None else tuple(reliability_curves(labels, before, bins)),
        after=tuple(reliability_curves(labels, scores, bins)),
        slices=tuple(slice_tables(labels, scores, scored.details, resamples=resamples, seed=seed, ece_bins=bins)),
        decisions=tuple(decisions(labels, scores, thresholds)),
        single=single_voice(labels, scores, states, prior),
    )
