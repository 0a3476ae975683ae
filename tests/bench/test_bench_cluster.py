"""The queue that is played through adds up, and metadata operations are told apart as strace writes them."""

import pytest

from bench.failures import Site, play
from bench.metadata import counted_in

SITE = Site(tasks=40, shards=50, shard_s=60.0, spread=0.0, workers=2, nodes=4, tasks_a_node=2, mtbf_h=0.0, start_s=30.0)


def like(**keys) -> Site:
    return Site(**{**vars(SITE), **keys})


def test_without_failures_nothing_is_lost_and_the_end_is_where_arithmetic_has_it():
    for way in ("shards", "task", "no queue"):
        out = play(SITE, way)
        assert (out.lost, out.again, out.died, out.given_up) == (0, 0, 0, 0)
        assert out.useful == pytest.approx(40 * 50 * 60) and out.begun == pytest.approx(40 * 2 * 30)
        assert out.ends == pytest.approx(40 / 8 * (30 + 25 * 60))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_useful_is_each_shard_once_whatever_dies(seed):
    for way in ("shards", "task"):
        out = play(like(mtbf_h=2.0, seed=seed), way)
        assert out.died > 0 and out.given_up == 0
        assert out.useful == pytest.approx(40 * 50 * 60)


def test_ours_loses_half_a_shard_a_core_where_a_task_that_begins_anew_loses_what_it_did():
    many = [
        (play(like(mtbf_h=2.0, seed=seed), "shards"), play(like(mtbf_h=2.0, seed=seed), "task")) for seed in range(20)
    ]
    ours, theirs = (sum(out[way].lost for out in many) / sum(out[way].died for out in many) for way in (0, 1))
    assert ours == pytest.approx(2 * 60 / 2, rel=0.15)  # two cores, half a shard each; none while it starts
    assert theirs > 5 * ours


def test_who_is_told_in_time_loses_nothing_but_another_start():
    out = play(like(limit_s=700.0, warn_s=120.0), "shards")
    assert out.lost == 0 and out.died >= 40 * 2 and out.again == pytest.approx(out.died * 2 * 30)
    assert play(like(limit_s=700.0, warn_s=120.0, requeues=3), "task").given_up == 40  # none ends within its time


@pytest.mark.parametrize("way", ["shards", "task", "no queue"])
@pytest.mark.parametrize(
    "keys", [{"limit_s": 900.0}, {"preempted_h": 0.5, "grace_s": 90.0}, {"mtbf_h": 2.0, "limit_s": 900.0}], ids=str
)
def test_no_more_is_held_than_there_is(way, keys):
    site = like(**keys)
    out = play(site, way)
    assert out.held <= site.nodes * site.tasks_a_node * site.workers * out.ends * (1 + 1e-9)


TRACED = """
11 openat(AT_FDCWD</x>, "/r/runs/a.json", O_RDONLY|O_CLOEXEC) = 3</r/runs/a.json>
11 openat(AT_FDCWD</x>, "/r/runs/.a@1", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</r/runs/.a@1>
12 newfstatat(3</r/runs/.a@1>, "", {st_mode=S_IFREG|0644, st_size=1, ...}, AT_EMPTY_PATH) = 0
[pid   12] fsync(3</r/runs/.a@1>) = 0
12 rename("/r/runs/.a@1", "/r/runs/a") = 0
12 unlink("/r/runs/b") = -1 ENOENT (No such file or directory)
11 openat(AT_FDCWD</x>, "/usr/lib/python3/x.py", O_RDONLY|O_CLOEXEC) = 3</usr/lib/python3/x.py>
11 newfstatat(AT_FDCWD</x>, "/r/runs/a", {st_mode=S_IFREG|0644}, 0) = 0
11 getdents64(4</r/runs>, 0x1 /* 3 entries */, 32768) = 80
11 flock(4</r/runs/lock>, LOCK_EX|LOCK_NB) = 0
11 mkdir("/r/runs/s", 0777) = 0
11 +++ exited with 0 +++
"""


def test_operations_are_told_apart_and_only_where_runs_lie(tmp_path):
    (tmp_path / "traced").write_text(TRACED)
    found = counted_in(tmp_path / "traced", "/r/runs")
    assert dict(found) == {"open": 1, "create": 2, "sync": 1, "rename": 1, "remove": 1, "look": 1, "list": 1, "lock": 1}
