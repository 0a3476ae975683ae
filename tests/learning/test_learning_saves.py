"""Checkpoints come by minutes, steps and epochs, and take no more than their share of the time."""

import pytest

from app.learning.saves import SHARE, Saves


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def train(saves: Saves, clock: Clock, steps: int, step_s: float, save_s: float, epoch: int = 10**9) -> list[int]:
    """The steps after which was saved."""
    found = []
    for step in range(1, steps + 1):
        clock.now += step_s
        if saves.due(step, epoch_ends=step % epoch == 0):
            with saves.counted(step):
                clock.now += save_s
            found.append(step)
    return found


def test_by_minutes():
    assert train(Saves(1.0, 0, clock := Clock()), clock, 300, 0.5, 0.01) == [121, 242]  # a save takes its time


def test_by_steps():
    assert train(Saves(99.0, 50, clock := Clock()), clock, 200, 0.5, 0.01) == [50, 100, 150, 200]


def test_at_the_end_of_an_epoch():
    assert train(Saves(99.0, 0, clock := Clock()), clock, 200, 0.5, 0.01, epoch=70) == [70, 140]


@pytest.mark.parametrize("save_s", [0.1, 1.0, 30.0])
def test_they_take_no_more_than_their_share_however_often_they_are_wanted(save_s):
    saves = Saves(1e-9, 1, clock := Clock())
    began = clock.now
    found = train(saves, clock, 20000, 0.5, save_s, epoch=3)
    assert len(found) > 2 and saves.spent == pytest.approx(len(found) * save_s)
    assert saves.spent <= max(SHARE * (clock.now - began), save_s) * 1.001  # what the first one takes is not known
