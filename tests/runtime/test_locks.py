"""Locks save work; where they do not hold, two jobs at one stage cost time and not data."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.runtime.job import counts, is_complete, open_job
from app.runtime.locks import take_lock
from app.runtime.status import read_status
from tests.jobs.road import files_under
from tests.runtime.slow_job import SPEC

ROOT = Path(__file__).resolve().parents[2]


def start(run, **environment) -> subprocess.Popen:
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
        [*command, "--run", run.name], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_lock_is_held_once_and_let_go_by_a_dead_process(tmp_path):
    path = tmp_path / "lock"
    code = """
import sys, time
from pathlib import Path
from app.runtime.locks import take_lock
print(take_lock(Path(sys.argv[1])).works, flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "True\n"
        assert take_lock(path) is None
    finally:
        holder.kill()
        holder.wait()
    lock = take_lock(path)
    assert lock is not None and lock.works
    os.close(lock.handle)


@pytest.mark.parametrize("way", ["refused", "granted"])
def test_a_lock_that_does_not_hold_is_not_believed(tmp_path, monkeypatch, way):
    def flock(handle, operation):
        if way == "refused":
            raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = take_lock(tmp_path / "lock")
    assert lock is not None and not lock.works
    os.close(lock.handle)


@pytest.mark.parametrize("way", ["refused", "granted"])
def test_two_jobs_at_once_without_locks_leave_the_right_data(a_run, tmp_path, way):
    run = a_run()
    jobs = [start(run, NO_LOCKS=way) for _ in range(2)]
    errors = [job.communicate(timeout=60)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors
    assert all("the locks of this disk do not work" in error for error in errors)
    folder = next((run.runs / "stages").iterdir())
    assert is_complete(folder) and counts(folder) == (24, 0)
    assert not list(folder.glob("shards/.*"))
    assert sorted(status["state"] for status in read_status(folder)) == ["done", "done"]
    # and the same data as one job alone leaves
    alone = a_run(name="alone", **{})
    alone = type(alone)(alone.name, alone.config, alone.config_path, alone.data, tmp_path / "alone", alone.stop)
    assert start(alone).wait(60) == 0
    one, two = (next((folder / "stages").iterdir()) / "shards" for folder in (alone.runs, run.runs))
    names = [path.relative_to(one) for path in sorted(one.rglob("*")) if path.is_file()]
    assert names == [path.relative_to(two) for path in sorted(two.rglob("*")) if path.is_file()]
    assert len(names) == 24 and all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_a_second_job_is_refused_and_told_host_start_and_progress_of_the_first(a_run):
    run = a_run(**{"runtime.heartbeat_s": 0.2})
    first = start(run, ARGS='{"pause_s": 2}')
    try:
        wait_for(lambda: any(run.runs.glob("stages/*/shards/*/receipt.json")))
        time.sleep(2.5)  # two heartbeats
        second = start(run)
        error = second.communicate(timeout=30)[1]
        assert second.returncode == 2 and "Traceback" not in error
        assert f"already running for run {run.name} on {os.uname().nodename} (process {first.pid}) since 2" in error
        assert (
            " of 8 shards done" in error and ": 0 of 8" not in error and f"make stop JOB=double RUN={run.name}" in error
        )
    finally:
        first.kill()
        first.wait()


def test_a_dead_job_does_not_block_a_live_one(a_run):
    run = a_run()
    first = start(run, ARGS='{"pause_s": 0.3}')
    wait_for(lambda: any(run.runs.glob("stages/*/shards/*/receipt.json")))
    first.kill()
    first.wait()
    second = start(run)
    error = second.communicate(timeout=60)[1]
    assert second.returncode == 0 and "in 24 = out 24 + failed 0" in error


def test_moved_in_the_middle_a_job_goes_on_under_another_path(a_run, tmp_path):
    run = a_run()
    first = start(run, ARGS='{"pause_s": 0.3}')
    wait_for(lambda: any(run.runs.glob("stages/*/shards/[0-9]*/receipt.json")))
    first.kill()
    first.wait()
    run.runs.rename(tmp_path / "elsewhere")
    kept = files_under(tmp_path / "elsewhere" / "stages")
    moved = type(run)(run.name, run.config, run.config_path, run.data, tmp_path / "elsewhere", run.stop)
    with open_job(moved, "double", SPEC) as job:
        assert not job.complete
        from app.runtime.shards import cut
        from tests.runtime.work import double

        job.run(double, cut([{"id": str(n)} for n in range(24)], 3), preload="json", row_bytes=lambda row: 100)
    assert counts(job.folder) == (24, 0)
    done = {name for name in kept if name.endswith("receipt.json") and "/.draft" not in name}
    assert (
        done and {name: kept[name] for name in done}.items() <= files_under(tmp_path / "elsewhere" / "stages").items()
    )
