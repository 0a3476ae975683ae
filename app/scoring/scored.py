"""Clips of one data set with their labels and answers, and which of them are worth a look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.scoring.arrays import Array, checked

MISTAKE, DOUBT = "worst mistake", "most doubtful"


@dataclass(frozen=True)
class Scored:
    """One data set. Columns are (fake, real)."""

    name: str
    clips: Sequence[str]  # ids
    labels: Array  # (clips, 2)
    scores: Array  # (clips, 2)
    uncalibrated: Array | None = None
    details: Mapping[str, Sequence[object]] = field(default_factory=dict)  # column -> a value a clip; None: not known

    def __post_init__(self) -> None:
        y, p = checked(self.labels, self.scores)
        object.__setattr__(self, "labels", y)
        object.__setattr__(self, "scores", p)
        for what, values in {"ids": self.clips, **self.details}.items():
            if len(values) != len(y):
                raise ValueError(f"{what}: {len(values)} values for {len(y)} clips")


@dataclass(frozen=True)
class Picked:
    """A clip to look at and listen to."""

    data: str  # name of its data set
    why: str  # MISTAKE or DOUBT
    clip: str
    fake: int
    real: int
    p_fake: float
    p_real: float
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """The larger one of both answers, 0..1."""
        return max(abs(self.p_fake - self.fake), abs(self.p_real - self.real))

    @property
    def column(self) -> int:
        """0 or 1: the answer that is the further off."""
        return int(abs(self.p_real - self.real) > abs(self.p_fake - self.fake))


def picked(scored: Scored, most: int) -> list[Picked]:
    """Clips that are off by more than 0.5 in a column, the worst first; then the most doubtful of the others.

    most: of each kind. In doubt is a clip by both answers' distance from 0 and 1 (their variance p (1 - p), summed).
    Ties keep the given order.
    """
    off = np.abs(scored.scores - scored.labels).max(1)
    mistakes = [n for n in np.argsort(-off, kind="stable")[:most].tolist() if off[n] > 0.5]
    doubt = (scored.scores * (1 - scored.scores)).sum(1)
    doubtful = [n for n in np.argsort(-doubt, kind="stable").tolist() if n not in mistakes][:most]
    return [_picked(scored, n, MISTAKE) for n in mistakes] + [_picked(scored, n, DOUBT) for n in doubtful]


def joined(name: str, parts: Sequence[Scored]) -> Scored:
    """Data sets with the same details as one."""
    columns = dict.fromkeys(column for part in parts for column in part.details)
    return Scored(
        name,
        [clip for part in parts for clip in part.clips],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.scores for part in parts]),
        None,
        {
            column: [v for part in parts for v in part.details.get(column, [None] * len(part.clips))]
            for column in columns
        },
    )


def _picked(scored: Scored, n: int, why: str) -> Picked:
    (fake, real), (p_fake, p_real) = scored.labels[n].astype(int).tolist(), scored.scores[n].tolist()
    details = {column: values[n] for column, values in scored.details.items()}
    return Picked(scored.name, why, scored.clips[n], fake, real, p_fake, p_real, details)
