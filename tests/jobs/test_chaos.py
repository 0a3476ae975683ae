"""The short version of `make chaos`: some kills of every job, and every byte as if there had been none."""

from tests.chaos import BROKEN, Chaos, Tally


def test_jobs_killed_at_any_moment_leave_the_bytes_of_unbroken_ones(tmp_path):
    chaos, tally = Chaos(tmp_path, seed=7), Tally()
    chaos.run_unbroken(BROKEN)
    for job in BROKEN:
        chaos.at_points(job, tally, most=2)
        chaos.at_random(job, 1, tally)
    assert tally.kills == 4 * 3 and tally.rounds >= 4 * 3 and tally.points == 4 * 2
    assert tally.of_jobs >= 4 and tally.bytes_compared > 10_000_000
