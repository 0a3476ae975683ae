"""What is learnt from shuffled labels: nothing, unless those of validation reach the scores by a way of their own.

That is a bug of the road, not of the split: clips that both have give chance, too, once the labels are shuffled.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from app.features.store import Stored
from app.learning.fit import passes_over
from app.learning.predict import logits_of
from app.learning.selection import targets_of
from app.runtime.seeds import seed_of
from app.scoring.arrays import COLUMNS
from app.scoring.roc import auc_or_nan


class Shuffled(NamedTuple):
    """Of one output, on *select*."""

    output: str
    auc: float  # with the labels of training as they are
    mean: float  # with shuffled ones, over all shuffles
    error: float  # standard error of that mean

    @property
    def far(self) -> float:
        """By how many standard errors it is away from chance."""
        return abs(self.mean - 0.5) / self.error if self.error else 0.0


def auc_of_shuffled(
    model: Any,
    train: Stored[Any],
    select: Stored[Any],
    shuffles: int,
    seed: int,
    batch_clips: int,
    between: Callable[[], None] = lambda: None,
) -> list[Shuffled]:
    """model: one that is fitted in closed form; clips are gone through once, whatever `shuffles`.

    A shuffle moves whole rows, so that both labels of a clip still go together. `between` is called after each.
    """
    pooled, targets = passes_over(model, train, batch_clips, between)
    told, tried = targets_of(select), np.zeros((shuffles + 1, 2))
    for n in range(shuffles + 1):
        rng = np.random.default_rng(seed_of(seed, "shuffled", n))
        order = torch.from_numpy(rng.permutation(len(targets)) if n else np.arange(len(targets)))
        model.fit(pooled.clone(), targets[order])
        logits = logits_of(model, select, batch_clips, torch.device("cpu"), between)
        tried[n] = [auc_or_nan(told[:, c], logits[:, c]) for c in (0, 1)]
        between()
    errors = tried[1:].std(0, ddof=1) / shuffles**0.5
    return [Shuffled(name, tried[0, c], tried[1:, c].mean(), errors[c]) for c, name in enumerate(COLUMNS)]
