"""The search itself, with a formula in place of trainings."""

import itertools
import json
import math
import os
import shutil
import time

import pytest

from app.config.sections import Domain
from app.errors import UserError
from app.learning import search as search_module
from app.learning.search import Search, lies_in, mend
from app.scoring.tried import best_first

SPACE = {
    "learning_rate": Domain(log=(1e-4, 1e-1)),
    "dropout": Domain(uniform=(0.0, 0.5)),
    "rnn_hidden": Domain(uniform=(16.0, 64.0)),
    "cnn_channels": Domain(choice=[[8, 16], [16, 32]]),
}
OWN = {"learning_rate": 0.05, "dropout": 0.5, "rnn_hidden": 16, "cnn_channels": [8, 16]}
EPOCHS = 6


def begun(folder, name="crnn", seed=0, space=SPACE, first=OWN):
    return Search(folder / "journal.log", name, space, seed, EPOCHS, first)


def score_of(values, epoch=EPOCHS):
    """Lowest at a rate of .003 without dropout; what is worse is worse from the first epoch on."""
    return 0.1 + 0.1 * abs(math.log10(values["learning_rate"] / 0.003)) + 0.1 * values["dropout"] + 0.3 / epoch


def trial(search, until=EPOCHS):
    """One trial; cut after `until` epochs."""
    _, values = search.next()
    for epoch in range(1, until + 1):
        if search.hopeless(epoch, score_of(values, epoch)):
            search.note(epochs=epoch)
            search.pruned()
            return
    if until == EPOCHS:
        search.note(epochs=EPOCHS)
        search.done(score_of(values))


def test_cut_at_any_moment_it_tries_what_it_would_have_tried(tmp_path):
    straight = begun(tmp_path)
    for _ in range(16):
        trial(straight)
    other = tmp_path / "cut"
    other.mkdir()
    for until in itertools.cycle(range(EPOCHS + 1)):  # 0: it is killed before the end of the first epoch
        if begun(other).finished == 16:
            break
        trial(begun(other), until)
    assert begun(other).tried() == straight.tried() and straight.finished == 16
    assert {one.state for one in straight.tried()} == {"done", "pruned"}


@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("trials", [3, 9])  # at random, and where others were good
def test_killed_between_two_draws_it_draws_the_same(tmp_path, monkeypatch, trials, after):
    suggest, drawn = search_module._suggest, []

    def draw(*args):
        drawn.append(args)
        if len(drawn) > after:
            raise KeyboardInterrupt
        suggest(*args)

    for _ in range(trials):
        trial(begun(tmp_path))
    (tmp_path / "cut").mkdir()
    shutil.copy(tmp_path / "journal.log", tmp_path / "cut")
    with monkeypatch.context() as killed:
        killed.setattr(search_module, "_suggest", draw)
        with pytest.raises(KeyboardInterrupt):
            begun(tmp_path / "cut").next()
    assert begun(tmp_path / "cut").next() == begun(tmp_path).next()


def test_two_at_one_trial_come_to_one_end(tmp_path):
    """Where locks do not work."""
    one, other = begun(tmp_path), begun(tmp_path)
    assert one.next() == other.next()
    one.hopeless(1, 0.5)
    one.done(0.4)
    other.note(epochs=2)
    assert not other.hopeless(2, 0.45)
    other.done(0.4)
    [tried] = begun(tmp_path).tried()
    assert (tried.state, tried.score, begun(tmp_path).finished) == ("done", 0.4, 1)


def test_what_others_write_is_no_line_that_was_cut(tmp_path):
    journal = tmp_path / "journal.log"
    for age_s, left in ((0, b'{"op": 1}\n{"op'), (120, b'{"op": 1}\n')):
        journal.write_bytes(b'{"op": 1}\n{"op')
        os.utime(journal, (time.time() - age_s,) * 2)
        mend(journal, still_s=60.0)
        assert journal.read_bytes() == left


def test_the_first_trial_is_the_configs_own_and_all_lie_in_the_space(tmp_path):
    search = begun(tmp_path)
    for _ in range(12):
        trial(search)
    first, *others = search.tried()
    assert first.values == OWN and first.number == 1 and first.score == pytest.approx(score_of(OWN))
    for one in others:
        assert all(lies_in(SPACE[key], value) for key, value in one.values.items()), one
        assert isinstance(one.values["rnn_hidden"], int) and isinstance(one.values["cnn_channels"], list)
    assert len({json.dumps(one.values) for one in search.tried()}) == 12


def test_it_finds_what_is_better_than_chance_does(tmp_path):
    """The better half of 30 trials lies nearer to the best values than the first six, which are drawn at random."""
    search = begun(tmp_path, seed=3)
    for _ in range(30):
        trial(search)
    tried = search.tried()
    best = best_first(tried)[0]
    assert best.score < min(one.score for one in tried[:6]) and best.score < 0.2 < score_of(OWN)


def test_what_is_worse_than_the_median_is_pruned_after_a_third_of_its_epochs(tmp_path):
    search = begun(tmp_path)
    for _ in range(4):
        trial(search)
    search.next()
    assert [search.hopeless(epoch, 5.0) for epoch in (1, 2)] == [False, True]
    again = begun(tmp_path)  # the epochs before the last one that is known are told, and not judged again
    again.next()
    assert [again.hopeless(epoch, 5.0) for epoch in (1, 2)] == [False, True]
    again.pruned()
    search.next()
    assert not any(search.hopeless(epoch, 0.01) for epoch in range(1, EPOCHS + 1))


def test_a_diverged_one_is_told_and_kept_away_from(tmp_path):
    search = begun(tmp_path)
    trial(search)
    search.next()
    search.diverged("its loss is nan at step 3")
    assert [one.state for one in search.tried()] == ["done", "diverged"]
    assert search.tried()[1].score is None and best_first(search.tried())[0].number == 1 and search.finished == 2


def test_others_have_trials_of_their_own_in_the_same_journal(tmp_path):
    one, other = begun(tmp_path), begun(tmp_path, name="lfcc_lcnn", first=None)
    trial(one)
    assert other.finished == 0 and begun(tmp_path).finished == 1
    assert other.next()[1] != OWN  # drawn, for nothing was given to begin with


def test_a_line_that_was_cut_off_is_taken_away(tmp_path):
    search = begun(tmp_path)
    trial(search)
    trial(search)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_id":"cut o')
    assert begun(tmp_path).tried() == search.tried()
    text = journal.read_bytes()
    assert text.startswith(whole) and all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize(
    "damage", [b"\x00\xff no journal\n", b'{"op_code":4}\n', b"[]\n", b'{"op_code":99,"worker_id":"x"}\n']
)
def test_a_damaged_journal_is_told(tmp_path, damage):
    trial(begun(tmp_path))
    journal = tmp_path / "journal.log"
    first, rest = journal.read_bytes().split(b"\n", 1)
    journal.write_bytes(first + b"\n" + damage + rest)
    with pytest.raises(UserError, match="damaged") as told:
        begun(tmp_path)
    assert "move it away" in str(told.value) and str(journal) in str(told.value)


def test_settings_of_ones_own_that_changed_are_tried_next(tmp_path):
    trial(begun(tmp_path))
    other = {**OWN, "dropout": 0.25}
    assert begun(tmp_path, first=other).next() == (2, other)


def test_rounding_leads_not_beyond_the_ends(tmp_path):
    narrow = {"ema": Domain(uniform=(0.9990, 0.9996))}  # to three digits most of it would be 1
    search = begun(tmp_path, space=narrow, first=None)
    for _ in range(5):
        assert 0.9990 <= search.next()[1]["ema"] <= 0.9996
        search.done(0.2)
