"""The trees as tensors against scikit-learn's own, and what they learn."""

import numpy as np
import pytest
import torch
from model_batches import CHANNELS, EXTRACT
from sklearn.ensemble import GradientBoostingClassifier

from app.models.pooled_boosting import DEPTH, RATE, SUBSAMPLE, TREES, PooledBoosting

WIDTH = 3 * (EXTRACT.mels + len(CHANNELS))


def pooled_and_targets(clips: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The first target is far from the middle, on either side: no weighted sum can tell."""
    rng = np.random.default_rng(seed)
    pooled = rng.normal(0, 1, (clips, WIDTH)).astype(np.float32)
    targets = np.stack([np.abs(pooled[:, 0]) > 0.7, pooled[:, 2] > 0.5], 1)
    return torch.from_numpy(pooled), torch.from_numpy(targets.astype(np.float32))


@pytest.fixture(scope="module")
def fitted():
    model = PooledBoosting(EXTRACT.mels, CHANNELS, seed=7)
    model.fit(*pooled_and_targets(400))
    return model.eval()


def logits(model, pooled):
    return torch.stack([model._sum_of(column, model.scaled(pooled)) for column in range(2)], -1)


def test_it_answers_as_scikit_learn_does_on_either_side_of_every_cut(fitted):
    train, targets = pooled_and_targets(400)
    other, _ = pooled_and_targets(300, seed=1)
    for column in range(2):
        theirs = GradientBoostingClassifier(
            n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, subsample=SUBSAMPLE, max_features="sqrt",
            random_state=7,
        ).fit(fitted.scaled(train).numpy(), targets[:, column].numpy())  # fmt: skip
        for pooled in (train, other):
            expected = theirs.decision_function(fitted.scaled(pooled).numpy())
            assert logits(fitted, pooled)[:, column].numpy() == pytest.approx(expected, abs=1e-5)
    # numbers that lie on a cut, and the next ones beside it
    cuts = fitted.cuts[1, :, 0]
    above = torch.nextafter(cuts, torch.tensor(torch.inf))
    for values in (cuts, above):
        edge = fitted.scaled(other)[:TREES].clone()
        edge[torch.arange(len(edge)), fitted.numbers[1, : len(edge), 0]] = values[: len(edge)]
        assert fitted._sum_of(1, edge).numpy() == pytest.approx(theirs.decision_function(edge.numpy()), abs=1e-5)


def test_it_learns_what_no_weighted_sum_can(fitted):
    pooled, targets = pooled_and_targets(1000, seed=2)
    right = ((logits(fitted, pooled) > 0).float() == targets).float().mean(0)
    assert right[0] > 0.9 and right[1] > 0.9


def test_the_same_seed_grows_the_same_trees(fitted):
    again, other = (PooledBoosting(EXTRACT.mels, CHANNELS, seed=seed) for seed in (7, 8))
    for model in (again, other):
        model.fit(*pooled_and_targets(400))
    assert all(torch.equal(a, b) for a, b in zip(again.buffers(), fitted.buffers(), strict=True))
    assert not torch.equal(other.cuts, fitted.cuts)


def test_trees_that_end_early_answer_on_all_their_branches():
    pooled = torch.zeros(40, WIDTH)
    pooled[20:, 0] = 1.0
    targets = pooled[:, :1].expand(-1, 2).contiguous()
    model = PooledBoosting(EXTRACT.mels, CHANNELS, seed=0)
    model.fit(pooled, targets)
    assert (logits(model, pooled)[:20] < -1).all() and (logits(model, pooled)[20:] > 1).all()


def test_one_class_alone_is_an_error():
    pooled, targets = pooled_and_targets(50)
    targets[:, 1] = 1
    with pytest.raises(ValueError, match="class"):
        PooledBoosting(EXTRACT.mels, CHANNELS, seed=0).fit(pooled, targets)
