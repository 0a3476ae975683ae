"""Pooled statistics, then gradient boosted trees: what a table of numbers gives at its best, in a minute.

Scikit-learn grows the trees (J. H. Friedman, Stochastic gradient boosting, 2002); they are kept as tensors, so that
this model is saved, moved and asked like every other, and nothing is unpickled.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.config import Config
from app.features.batches import Batch
from app.features.frames import channel_names
from app.models.pooled import PART, Pooled

TREES, DEPTH = 300, 3
DULL = 1e-3  # spreads, or 1 where there is no spread: numbers that stay below are all the same
RATE, SUBSAMPLE = 0.05, 0.5  # each tree is grown on half of the clips, each cut on some of the numbers


class PooledBoosting(Pooled):
    """Trees of full depth: node n has the children 2n + 1 and 2n + 2; a branch that ended early goes on in both."""

    trains_in_closed_form = True
    numbers: Tensor
    cuts: Tensor
    leaves: Tensor
    start: Tensor

    def __init__(self, mels: int, channels: tuple[str, ...], seed: int) -> None:
        super().__init__(mels, channels)
        self.seed = seed % 2**32
        nodes = 2**DEPTH - 1
        self.register_buffer("numbers", torch.zeros(2, TREES, nodes, dtype=torch.int64))  # which is looked at
        self.register_buffer("cuts", torch.zeros(2, TREES, nodes))  # at most so much: to the left
        self.register_buffer("leaves", torch.zeros(2, TREES, nodes + 1))  # logits, already times the rate
        self.register_buffer("start", torch.zeros(2))

    @classmethod
    def of(cls, config: Config) -> "PooledBoosting":
        return cls(config.extract.mels, channel_names(config.extract), config.training_seed)

    def forward(self, batch: Batch) -> Tensor:
        """(clips, 2) logits."""
        pooled = self.scaled(self.pooled(batch)).float()
        found = [self._sum_of(column, pooled) for column in range(2)]
        return torch.stack(found, -1)

    def _sum_of(self, column: int, pooled: Tensor) -> Tensor:
        trees = torch.arange(TREES, device=pooled.device)
        node = torch.zeros(len(pooled), TREES, dtype=torch.int64, device=pooled.device)
        for _ in range(DEPTH):
            values = pooled.gather(1, self.numbers[column, trees, node])
            node = 2 * node + 1 + (values > self.cuts[column, trees, node]).long()
        return self.start[column] + self.leaves[column, trees, node - (2**DEPTH - 1)].sum(-1)

    @torch.no_grad()
    def fit(self, pooled: Tensor, targets: Tensor) -> None:
        """pooled: (clips, width), changed in place; targets: (clips, 2) of 0 and 1, both in each column.

        What never changes but by rounding, such as the mean level, is not looked at: a tree would cut there.
        Raises ValueError where a column holds one of them alone.
        """
        from sklearn.ensemble import GradientBoostingClassifier  # as in pooled_logistic

        self.learn_scale(lambda: pooled.split(PART))
        pooled.sub_(self.mean).div_(self.std)
        pooled[:, pooled.abs().amax(0) < DULL] = 0.0
        for column in range(2):
            grown = GradientBoostingClassifier(
                n_estimators=TREES,
                max_depth=DEPTH,
                learning_rate=RATE,
                subsample=SUBSAMPLE,
                max_features="sqrt",
                random_state=self.seed,
            ).fit(pooled.numpy(), targets[:, column].numpy())
            share = float(targets[:, column].double().mean())
            self.start[column] = float(np.log(share / (1 - share)))  # where it begins: the log odds of all clips
            for number, tree in enumerate(grown.estimators_[:, 0]):
                self._take(column, number, tree.tree_)

    def _take(self, column: int, number: int, tree: Any) -> None:
        """tree: scikit-learn's, nodes in lists."""
        nodes = 2**DEPTH - 1

        def take(place: int, node: int) -> None:
            if place >= nodes:
                self.leaves[column, number, place - nodes] = RATE * float(tree.value[node, 0, 0])
                return
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            if left < 0:  # a leaf before its time
                left = right = node
            else:
                self.numbers[column, number, place] = int(tree.feature[node])
                self.cuts[column, number, place] = _not_above(float(tree.threshold[node]))
            take(2 * place + 1, left)
            take(2 * place + 2, right)

        take(0, 0)


def _not_above(cut: float) -> float:
    """The largest float32 that is not above: float32 numbers lie on the same side of both."""
    near = np.float32(cut)
    return float(near if float(near) <= cut else np.nextafter(near, np.float32(-np.inf)))
