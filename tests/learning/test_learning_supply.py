"""Batches come in the epoch's order, whole or in shares, from disk or from where all features are held."""

import numpy as np
import pytest
import torch
from feature_stages import CPU, feature_stage

from app.features.store import Features
from app.learning.resident import Resident
from app.learning.supply import Supply
from app.learning.world import Alone


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return Features(feature_stage(tmp_path_factory.mktemp("stage")), ("train",))


class One(Alone):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_shares_of_a_group_are_the_batches_of_one(train, size):
    whole = list(Supply(train, 88, 7, CPU).batches(3, 0))
    assert [clips for _, clips in whole] == [88, 2]  # the last one has fewer clips than some groups have processes
    shares = [list(Supply(train, 88, 7, CPU, world=One(rank, size)).batches(3, 0)) for rank in range(size)]
    for n, (batch, clips) in enumerate(whole):
        parts = [mine[n][0] for mine in shares]
        assert [mine[n][1] for mine in shares] == [clips] * size
        for values, *theirs in zip(batch[:4], *(part[:4] for part in parts)):
            assert torch.equal(values, torch.cat(theirs))


def test_an_epoch_goes_on_where_it_was_left(train):
    whole = list(Supply(train, 16, 7, CPU).batches(1, 0))
    rest = list(Supply(train, 16, 7, CPU).batches(1, 4))
    assert len(whole) == 6 and len(rest) == 2
    assert all(torch.equal(a.mel, b.mel) for (a, _), (b, _) in zip(whole[4:], rest, strict=True))
    assert list(Supply(train, 16, 7, CPU).batches(1, 6)) == []


def test_features_that_are_held_are_those_on_disk(train, monkeypatch):
    monkeypatch.setattr("app.learning.resident.PIECE", 32)
    held = Resident(train, CPU)
    numbers = np.random.default_rng(0).permutation(90)[:40]
    found, expected = held.batch(numbers), train.stored_batch(numbers)
    assert found.mel.dtype == torch.float16 and found.padded == expected.padded
    assert all(torch.equal(a, b) for a, b in zip(found[:4], expected[:4]))
    assert train.clip_bytes() * 90 == sum(values.nbytes for values in held._all[:4])


def test_numbers_come_as_asked(train):
    batch, _ = next(Supply(train, 16, 7, CPU, torch.float64).batches(0, 0))
    assert [values.dtype for values in batch[:4]] == [torch.float64, torch.float64, torch.int64, torch.float64]
