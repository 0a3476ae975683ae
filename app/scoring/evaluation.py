"""All that is said about the scores of one data set, put together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from app.scoring.bootstrap import Interval, interval_of
from app.scoring.curves import Reliability, Roc, reliability_curves, roc_curves
from app.scoring.decisions import Decision, Threshold, decisions
from app.scoring.detection import SingleVoice, single_voice
from app.scoring.draws import score_draws
from app.scoring.ece import EceFloor, ece_floor
from app.scoring.floors import Floor, floors
from app.scoring.metrics import Score, partial_score
from app.scoring.mistakes import Mistake, worst_mistakes
from app.scoring.slices import SliceTable, slice_tables


@dataclass(frozen=True)
class Evaluation:
    """One data set: a headline, and what stands behind it."""

    name: str
    clips: int
    score: Score
    interval: Interval  # of score.score
    ece_floor: EceFloor
    floors: tuple[Floor, ...] = ()
    rocs: tuple[Roc, ...] = ()
    before: tuple[Reliability, ...] = ()  # without calibration; () if not known
    after: tuple[Reliability, ...] = ()
    slices: tuple[SliceTable, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    decisions: tuple[Decision, ...] = ()
    single: SingleVoice | None = None


def evaluate_scores(
    name: str,
    clips: Sequence[str],
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    uncalibrated: ArrayLike | None = None,
    details: Mapping[str, Sequence[object]] | None = None,
    thresholds: Iterable[Threshold] = (),
    prior: float = 0.5,
    bins: int = 10,
    resamples: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Everything the report shows of one data set.

    clips: ids; labels, scores, uncalibrated (the scores before calibration): (clips, 2), columns (fake, real).
    details: column -> a value a clip, for the slices; its `state` tells which clips have one voice. thresholds: of the
    model; prior: of a single voice to be real, where the scores were calibrated. What one class alone leaves undefined
    is nan. Raises ValueError on wrong shapes, values or lengths.
    """
    return Evaluation(
        name=name,
        clips=len(clips),
        score=partial_score(labels, scores, bins),
        interval=interval_of(score_draws(labels, scores, resamples, seed, bins)),
        ece_floor=ece_floor(scores, seed=seed, bins=bins),
        floors=tuple(floors(labels, bins)),
        rocs=tuple(roc_curves(labels, scores)),
        before=() if uncalibrated is None else tuple(reliability_curves(labels, uncalibrated, bins)),
        after=tuple(reliability_curves(labels, scores, bins)),
        slices=tuple(slice_tables(labels, scores, details or {}, resamples=resamples, seed=seed, ece_bins=bins)),
        mistakes=tuple(worst_mistakes(clips, labels, scores)),
        decisions=tuple(decisions(labels, scores, thresholds)),
        single=single_voice(labels, scores, (details or {}).get("state", [None] * len(clips)), prior),
    )
