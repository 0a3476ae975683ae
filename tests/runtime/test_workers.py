"""A worker may be killed, crash, hang or take too much: that costs a try, a clip or a worker, never the job."""

import multiprocessing
import multiprocessing.forkserver as forkserver
import multiprocessing.resource_tracker as resource_tracker
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from app.errors import Stopped
from app.runtime.hired import Task, Worker
from app.runtime.job import counts, is_complete, open_job
from app.runtime.shards import Shard, cut, rows_of
from app.runtime.status import read_status
from app.runtime.stop import StopFlag
from app.runtime.worker import Order
from app.runtime.workers import Crew
from tests.runtime.work import burning, double, long_clip, out_of_memory, poisoned

ROOT = Path(__file__).resolve().parents[2]
SPEC = {"job": "double", "version": 1, "config": {}, "inputs": {}}
ROWS = [{"id": str(n)} for n in range(12)]


def do(run, work=double, shards=None, **args):
    with open_job(run, "double", SPEC) as job:
        job.run(work, shards or cut(ROWS, 3), preload="json", row_bytes=lambda row: 100, **args)
    return job


def test_a_clip_that_crashes_or_hangs_its_decoder_costs_that_clip_by_name(a_run, tmp_path, capfd):
    """The decoder is a stub: one that segfaults and hangs when it is asked to cannot be had otherwise."""
    note = tmp_path / "tried"
    run = a_run(**{"runtime.clip_seconds": 1.0})
    job = do(run, work=poisoned, segfault=("4", "5"), hang=("7",), note=str(note))
    assert is_complete(job.folder) and counts(job.folder) == (9, 3)
    failed = {row["id"]: (row["cause"], row["detail"]) for row in rows_of(job.folder, "failed")}
    assert failed == {
        "4": ("crashed", "its worker crashed (SIGSEGV) twice"),
        "5": ("crashed", "its worker crashed (SIGSEGV) twice"),
        "7": ("hung", "its worker hung for 1 s twice"),
    }
    tried = note.read_text().split()
    assert [tried.count(clip) for clip in ("4", "5", "7")] == [2, 2, 2]
    # tried once more at the end: after the clips of all other shards
    assert tried.index("11") < len(tried) - 1 - tried[::-1].index("4")
    told = capfd.readouterr().err
    assert "shard 00001, clip 4: its worker crashed (SIGSEGV); it is marked and tried once more at the end" in told


def test_a_long_clip_that_breathes_does_not_hang(a_run):
    job = do(a_run(**{"runtime.clip_seconds": 0.5}), work=long_clip, shards=cut(ROWS[:2], 1), seconds=1.5)
    assert counts(job.folder) == (2, 0)


@contextmanager
def crew_at_work(shards, allowed, stop, seconds=1.0):
    """Two workers on two clips that need a core for `seconds` each: (what is done, their processes)."""
    done, children = [], lambda: {p.pid for p in psutil.Process().children(recursive=True)}
    before = children()
    crew = Crew(2, stop, "json", print, allowed=allowed, over_memory=lambda: False, clip_seconds=3.0)
    thread = threading.Thread(
        target=lambda: done.extend(crew.run(burning, cut(ROWS[:2], 1), shards, {"seconds": seconds}))
    )
    thread.start()
    try:
        wait_until(lambda: len(list(shards.glob(".draft*"))) == 2)
        wait_until(lambda: all(worker.seat.row == 0 for worker in crew.crew))
        yield done, [psutil.Process(worker.process.pid) for worker in crew.crew]
    finally:
        stop.raise_it("the test is over")
        thread.join()
    assert children() - before <= {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}


def wait_until(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def used_s(processes):
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def test_workers_leave_their_cores_at_once_wherever_they_are(tmp_path):
    may = [2]
    with crew_at_work(tmp_path, lambda: may[0], StopFlag()) as (done, workers):
        began, may[0] = time.monotonic(), 0
        wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in workers))
        assert time.monotonic() - began < 1.0  # in the middle of a clip that has not drawn a breath
        before = used_s(workers)
        time.sleep(4.0)  # longer than a clip may take: it is not put down to the clip
        assert used_s(workers) == before and not done
        for process in workers:
            process.resume()  # as fg does after Ctrl-Z
        wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in workers))
        may[0] = 1
        wait_until(lambda: [p.status() == psutil.STATUS_STOPPED for p in workers].count(True) == 1)
        may[0] = 2
        wait_until(lambda: len(done) == 2)
    worked = time.monotonic() - began - 4.0 + 1.0  # and what went on before the rest
    assert all(one.failed == 0 and 0.9 < one.steps["burn"] <= one.seconds < worked for one in done), done


def test_a_job_that_is_stopped_wakes_who_rests(tmp_path):
    may, stop = [2], StopFlag()
    with crew_at_work(tmp_path, lambda: may[0], stop, seconds=60) as (done, workers):
        may[0] = 0
        wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in workers))
        stop.raise_it("TERM")
        wait_until(lambda: not any(process.status() == psutil.STATUS_STOPPED for process in workers))
        for process in workers:
            process.kill()  # no breath in sight


def test_a_clip_that_hangs_is_found_though_its_worker_rests_now_and_then(tmp_path):
    began = time.monotonic()
    crew = Crew(
        1, StopFlag(), "json", print, lambda: int((time.monotonic() - began) % 0.5 > 0.15), lambda: False,
        clip_seconds=0.8,
    )  # fmt: skip
    hung = {"segfault": (), "hang": ("0",), "note": str(tmp_path / "note")}
    done = list(crew.run(poisoned, cut(ROWS[:2], 2), tmp_path / "shards", hung))
    assert [(one.clips, one.failed) for one in done] == [(1, 1)] and time.monotonic() - began < 20


def test_a_worker_that_was_stopped_after_it_had_answered_is_woken_by_its_next_shard(tmp_path):
    context = multiprocessing.get_context("forkserver")
    alive, held = context.Pipe(duplex=False)
    with alive, held:
        worker = Worker(context, alive, 0.0)
        try:
            wait_until(lambda: worker.seat.taken)
            worker.rest(True)
            wait_until(lambda: psutil.Process(worker.process.pid).status() == psutil.STATUS_STOPPED)
            rows = [{"id": str(n), "much": "x" * 4000} for n in range(200)]  # more than the pipe takes at once
            giving = threading.Thread(
                target=worker.give, args=(Task(Order(Shard("00000", rows))), double, tmp_path, {})
            )
            giving.daemon = True
            giving.start()
            giving.join(20)
            assert not giving.is_alive() and worker.began <= time.monotonic()
            wait_until(worker.pipe.poll)
            assert worker.answer()[1].clips == 200
        finally:
            worker.close()


def test_the_work_is_later_by_what_was_not_allowed_and_not_by_what_had_nothing_to_do():
    rests = []
    crew = Crew(4, StopFlag(), "json", print, lambda: 2, lambda: False, rested=rests.append)
    crew.seats, crew.crew, crew.queue = 4, [SimpleNamespace(task=True)] * 2, []
    crew._tell_rest(2, 10.0)
    assert rests == []  # the last two shards, and both go on
    crew.queue = [None] * 9
    crew._tell_rest(1, 10.0)
    assert rests == [7.5]


def test_workers_at_rest_die_with_their_job(a_run):
    run = a_run()
    job = as_a_process(run, ARGS='{"pause_s": 5}')
    wait_until(lambda: len(list(run.runs.glob("stages/*/shards/.draft*"))) == 2)
    family = psutil.Process(job.pid).children(recursive=True)
    resting = [process for process in family if process.ppid() != job.pid]  # whom the forkserver has started
    assert len(resting) == 2
    for process in resting:
        process.suspend()
    job.kill()
    wait_until(lambda: not any(process.is_running() for process in family))


def as_a_process(run, *more, **environment) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "tests.runtime.slow_job",
        "--config",
        str(run.config_path),
        "--runs",
        str(run.runs),
    ]
    return subprocess.Popen(
        [*command, *more],
        cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_a_worker_that_takes_too_much_memory_costs_a_try_with_fewer_clips(a_run):
    """Two shards of 12 clips at 30 MB each: 360 MB are too much, 180 MB too, 90 MB are not."""
    run, cap = a_run(), ("--set", "runtime.memory_gb=0.25", "--set", "runtime.heartbeat_s=0.2")
    job = as_a_process(run, *cap, WORK="hungry", ARGS='{"most_mb": 100}', SHARD="12")
    told = job.communicate(timeout=90)[1]
    assert job.returncode == 0, told
    assert "used more than its share of memory; tried again, with fewer clips at a time if it takes several" in told
    folder = next((run.runs / "stages").iterdir())
    assert counts(folder) == (24, 0) and all(row["at_once"] <= 3 for row in rows_of(folder))


def test_a_cap_that_is_too_small_is_told_and_costs_no_clip(a_run):
    """A clip alone takes 300 MB: no number of clips at a time fits, and with more memory all is well."""
    run = a_run()
    cap = ("--workers", "1", "--set", "runtime.heartbeat_s=0.2", "--set")
    work = {"WORK": "hungry", "ARGS": '{"most_mb": 100, "clip_mb": 300, "seconds": 3}', "CLIPS": "2", "SHARD": "1"}
    job = as_a_process(run, *cap, "runtime.memory_gb=0.25", **work)
    told = job.communicate(timeout=90)[1]
    assert job.returncode == 2 and "raise runtime.memory_gb" in told and "Traceback" not in told, told
    folder = next((run.runs / "stages").iterdir())
    assert counts(folder) == (0, 0)
    job = as_a_process(run, *cap, "runtime.memory_gb=2", **work)
    told = job.communicate(timeout=90)[1]
    assert job.returncode == 0 and counts(folder) == (2, 0), told


def test_memory_that_python_cannot_have_is_a_try_with_fewer_clips_too(a_run):
    assert counts(do(a_run(), work=out_of_memory).folder) == (12, 0)


def test_told_to_stop_a_shard_that_can_be_finished_in_time_is_finished(a_run):
    run = a_run(**{"runtime.workers": 1})
    threading.Timer(1.5, run.stop.raise_it, ("SIGTERM",)).start()
    with pytest.raises(Stopped):
        do(run, shards=cut(ROWS, 6), pause_s=0.5)
    folder = next((run.runs / "stages").iterdir())
    assert counts(folder) == (6, 0)  # at 1.5 s it was in the middle of its first shard


def test_a_shard_that_would_take_longer_than_the_grace_is_dropped_at_its_next_clip(a_run):
    run = a_run(**{"runtime.workers": 1, "runtime.grace_s": 2.0})
    threading.Timer(1.5, run.stop.raise_it, ("SIGTERM",)).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        do(run, shards=cut(ROWS, 12), pause_s=1.0)
    assert time.monotonic() - began < 8  # all clips take 12
    folder = next((run.runs / "stages").iterdir())
    assert counts(folder) == (0, 0) and not list(folder.glob("shards/.draft*"))


def test_paused_workers_go_on_when_the_others_have_left(a_run):
    run = a_run()
    with open_job(run, "double", SPEC) as job:
        job.neighbours.allowed = 0  # as if others used all cores
        threading.Timer(2.0, setattr, (job.neighbours, "allowed", 2)).start()
        began = time.monotonic()
        job.run(double, cut(ROWS, 3), preload="json", row_bytes=lambda row: 100)
        assert time.monotonic() - began >= 2.0
    assert is_complete(job.folder)


def test_the_last_shards_are_not_forgotten_when_fewer_workers_may_work(a_run):
    run = a_run()
    with open_job(run, "double", SPEC) as job:
        threading.Timer(1.0, setattr, (job.neighbours, "allowed", 1)).start()
        job.run(double, cut(ROWS, 6), preload="json", row_bytes=lambda row: 100, pause_s=0.3)
    assert is_complete(job.folder)


def test_the_forkserver_killed_again_and_again_costs_no_clip(a_run):
    run, over, killed = a_run(), threading.Event(), []

    def kill_the_forkserver():
        while not over.wait(0.2) and len(killed) < 5:
            for child in psutil.Process().children():
                if "forkserver" in " ".join(child.cmdline()) and child.children() and child.pid not in killed:
                    killed.append(child.pid)
                    child.kill()

    killer = threading.Thread(target=kill_the_forkserver)
    killer.start()
    try:
        job = do(run, shards=cut(ROWS[:6], 1), pause_s=0.5)
    finally:
        over.set()
        killer.join()
    assert counts(job.folder) == (6, 0) and len(killed) >= 3


def test_a_clip_is_not_blamed_for_time_in_which_it_could_not_run(a_run):
    """As Ctrl-Z and fg do: the whole job stands still for longer than a clip may take, and goes on."""
    run = a_run()
    job = as_a_process(run, "--set", "runtime.clip_seconds=1", ARGS='{"pause_s": 0.4}', CLIPS="6")
    end = time.monotonic() + 30
    while not any(run.runs.glob("stages/*/shards/.draft*")):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(job.pid, signal.SIGSTOP)
    time.sleep(3.0)
    os.killpg(job.pid, signal.SIGCONT)
    told = job.communicate(timeout=60)[1]
    assert job.returncode == 0 and "hung" not in told and "in 6 = out 6 + failed 0" in told, told


DEAF = """
import sys
from app.runtime.job import open_job
from app.runtime.run import job_main
from app.runtime.shards import cut
from tests.runtime.work import deaf

def slow(run):
    "Slow."
    with open_job(run, "double", {"job": "double", "version": 1, "config": {}, "inputs": {}}) as job:
        job.run(deaf, cut([{"id": str(n)} for n in range(4)], 2), preload="json", row_bytes=lambda row: 100, seconds=60)

if __name__ == "__main__":
    sys.exit(job_main(slow))
"""


def test_work_that_does_not_listen_is_ended_when_the_grace_is_over(a_run, tmp_path, deaf_job):
    run = a_run()
    job = deaf_job(run, "--set", "runtime.grace_s=2")
    time.sleep(1.0)
    os.kill(job.pid, signal.SIGTERM)
    error = job.communicate(timeout=30)[1]
    assert job.returncode == 75, error
    assert "its grace of 2 s was over" in error and "Traceback" not in error
    [status] = read_status(next((run.runs / "stages").iterdir()))
    assert status["state"] == "stopped"


@pytest.fixture
def deaf_job(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(DEAF)
    jobs = []

    def start(run, *more):
        command = [sys.executable, str(script), "--config", str(run.config_path), "--runs", str(run.runs), *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        job = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        jobs.append(job)
        end = time.monotonic() + 30
        while not any(run.runs.glob("stages/*/shards/.draft*")):
            assert time.monotonic() < end and job.poll() is None
            time.sleep(0.05)
        return job

    yield start
    for job in jobs:
        job.kill()
