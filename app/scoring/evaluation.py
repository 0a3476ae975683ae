"""All that is said about the scores of one data set, put together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.scoring.attacks import Attack, attacks_of
from app.scoring.bootstrap import Interval
from app.scoring.curves import Reliability, Roc, reliability_curves, roc_curves
from app.scoring.decisions import Decision, Threshold, decisions
from app.scoring.detection import SingleVoice, single_voice
from app.scoring.ece import EceFloor, ece_floor
from app.scoring.floors import Floor, floors
from app.scoring.metrics import Score, partial_score
from app.scoring.ranges import score_ranges
from app.scoring.scored import Scored
from app.scoring.slices import Draws, SliceTable, slice_tables


@dataclass(frozen=True)
class Evaluation:
    """One data set: a headline, and what stands behind it."""

    name: str
    clips: int
    score: Score
    ranges: Mapping[str, Interval]  # of the score and its terms, by their names in `Score`
    ece_floor: EceFloor
    floors: tuple[Floor, ...] = ()
    rocs: tuple[Roc, ...] = ()
    before: tuple[Reliability, ...] = ()  # without calibration; () if not known
    after: tuple[Reliability, ...] = ()
    slices: tuple[SliceTable, ...] = ()
    decisions: tuple[Decision, ...] = ()
    single: SingleVoice | None = None
    attacks: tuple[Attack, ...] = ()

    @property
    def interval(self) -> Interval:
        """Of the score."""
        return self.ranges["score"]


def evaluate_scores(
    scored: Scored,
    *,
    thresholds: Iterable[Threshold] = (),
    prior: float = 0.5,
    bins: int = 10,
    resamples: int = 500,
    seed: int = 0,
    between: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Everything the report shows of the numbers of one data set.

    thresholds: of the model; prior: of a single voice to be real, where the scores were calibrated; bins: of the ECE;
    resamples: draws behind each interval; between: called as it goes. `state` among its details tells which clips have
    one voice. What one class alone leaves undefined is nan.
    """
    labels, scores = scored.labels, scored.scores
    before = scored.uncalibrated
    states, attacks, languages, speakers = (
        scored.details.get(key, [None] * len(labels)) for key in ("state", "attack", "language", "speaker")
    )
    return Evaluation(
        name=scored.name,
        clips=len(labels),
        score=partial_score(labels, scores, bins),
        ranges=score_ranges(labels, scores, resamples, seed, bins),
        ece_floor=ece_floor(scores, seed=seed, bins=bins),
        floors=tuple(floors(labels, bins)),
        rocs=tuple(roc_curves(labels, scores)),
        before=() if before is None else tuple(reliability_curves(labels, before, bins)),
        after=tuple(reliability_curves(labels, scores, bins)),
        slices=tuple(slice_tables(labels, scores, scored.details, how=Draws(resamples, seed, bins, between))),
        decisions=tuple(decisions(labels, scores, thresholds)),
        single=single_voice(labels, scores, states, prior, resamples, seed),
        attacks=attacks_of(labels, scores, states, attacks, languages, speakers, resamples, seed, between),
    )
