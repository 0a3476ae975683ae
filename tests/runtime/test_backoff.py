"""The rules: others' cores are theirs, ours are shared, and we come back only when it has been quiet."""

import pytest

from app.runtime.backoff import Backoff, free_workers, my_share


@pytest.mark.parametrize(
    ("cores", "others", "slack", "free"),
    [
        (2, 0.0, 0.5, 2),
        (2, 0.5, 0.5, 2),  # so much of theirs we do not mind
        (2, 0.6, 0.5, 1),
        (2, 1.0, 0.5, 1),  # a neighbour on one core of two keeps it, and we the other
        (2, 1.6, 0.5, 0),
        (2, 2.0, 0.5, 0),
        (2, 7.0, 0.5, 0),
        (64, 40.2, 0.5, 24),
        (64, 40.2, 0.0, 23),
        (1, 0.4, 0.5, 1),
    ],
)
def test_what_others_leave(cores, others, slack, free):
    assert free_workers(cores, others, slack) == free


@pytest.mark.parametrize(
    ("free", "wanted", "shares"),
    [
        (8, [4, 4], [4, 4]),
        (6, [4, 4], [3, 3]),
        (5, [4, 4], [3, 2]),  # the odd one is the oldest's
        (1, [4, 4], [1, 0]),
        (0, [4, 4], [0, 0]),
        (6, [1, 8], [1, 5]),  # who wants less leaves it to the others
        (7, [2, 8, 3], [2, 3, 2]),
        (99, [2, 8, 3], [2, 8, 3]),
    ],
)
def test_our_jobs_share_what_is_free(free, wanted, shares):
    jobs = [(float(begun), f"job{begun}", count) for begun, count in enumerate(wanted)]
    for shuffled in (jobs, jobs[::-1]):
        assert [my_share(free, shuffled, name) for _, name, _ in jobs] == shares


def play(backoff: Backoff, *loads: tuple[float, int]) -> list[int]:
    """(seconds, share) ... -> what was allowed at each second."""
    allowed, now = [], 0.0
    for seconds, share in loads:
        for _ in range(round(seconds)):
            allowed.append(backoff.decide(now, share))
            now += 1
    return allowed


def test_it_shrinks_at_once_and_grows_after_a_quiet_time():
    assert play(Backoff(5.0, 4), (2, 4), (3, 1), (8, 4)) == [4, 4, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 4]


def test_a_short_visit_begins_the_quiet_time_anew():
    allowed = play(Backoff(5.0, 4), (1, 0), (4, 4), (1, 0), (8, 4))
    assert allowed == [0] * 11 + [4] * 3


def test_it_grows_to_what_was_free_all_the_time():
    allowed = play(Backoff(5.0, 4), (1, 0), (3, 2), (1, 3), (1, 2), (9, 4))
    assert allowed[5] == 0 and allowed[6] == 2 and max(allowed[:10]) == 2 and allowed[-1] == 4


def test_a_gap_in_the_looks_shrinks_no_less():
    """After a night in suspend, or stopped by Ctrl-Z, the first look counts."""
    backoff = Backoff(5.0, 2)
    assert backoff.decide(0.0, 2) == 2 and backoff.decide(40000.0, 0) == 0 and backoff.decide(40001.0, 2) == 0
    assert backoff.decide(40006.0, 2) == 2


def test_without_a_quiet_time_it_follows_at_once():
    assert play(Backoff(0.0, 2), (2, 0), (1, 2), (1, 1), (1, 2)) == [0, 0, 2, 1, 2]
