"""make stop ends jobs politely, whoever started them, and says how to go on."""

import json
import os
import subprocess
import sys
import time

import pytest

from app.errors import UserError
from jobs import stop
from tests.jobs.sitter import ROOT, ask, clean, sit, wait_for


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def seated(runs):
    sitters = []

    def start(*args, **env):
        sitters.append(sit(runs, *args, **env))
        return sitters[-1]

    yield start
    for sitter in sitters:
        sitter.kill()
        sitter.communicate()


def test_a_job_is_stopped_and_the_next_command_is_told(runs, seated):
    job = seated("demo", "extract")
    done = ask("stop", RUNS=str(runs), JOB="extract", RUN="demo")
    assert done.returncode == 0, done.stderr
    assert f"extract of run demo: told to stop (process {job.pid} on {os.uname().nodename})" in done.stderr
    assert "stopped after" in done.stderr and f"this job alone: `make extract RUN=demo RUNS={runs}`" in done.stderr
    assert job.wait(30) == 75
    [status] = [json.loads(path.read_text()) for path in runs.glob("stages/*/status/main.json")]
    assert status["state"] == "stopped" and "STOP" in status["note"]
    assert not list(runs.rglob("STOP"))


def test_the_only_job_needs_no_name(runs, seated):
    job = seated("demo", "train crnn")
    assert ask("stop", RUNS=str(runs)).returncode == 0 and job.wait(30) == 75


def test_several_jobs_are_named_and_none_is_stopped(runs, seated):
    jobs = [seated("one", "extract"), seated("two", "mix")]
    for env in ({}, {"JOB": "all"}):
        done = ask("stop", RUNS=str(runs), **env)
        assert done.returncode == 2 and "fix: make stop JOB=... RUN=..." in done.stderr
        assert "extract of run one" in done.stderr and "mix of run two" in done.stderr
    assert all(job.poll() is None for job in jobs) and not list(runs.rglob("STOP"))
    assert ask("stop", RUNS=str(runs), JOB="mix").returncode == 0 and jobs[1].wait(30) == 75
    assert jobs[0].poll() is None


def test_all_jobs_of_a_run(runs, seated):
    mine, other = [seated("one", "extract"), seated("one", "train crnn")], seated("two", "mix")
    done = ask("stop", RUNS=str(runs), RUN="one")
    assert done.returncode == 0 and [job.wait(30) for job in mine] == [75, 75] and other.poll() is None


def test_what_takes_the_place_of_a_job_that_was_just_done_is_told_too(runs, seated):
    job = seated("demo", "extract", "extract-test", DEAF="1")
    env = {**clean(), "RUNS": str(runs), "JOB": "extract"}
    stopping = subprocess.Popen(
        [sys.executable, "-m", "jobs.stop"], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
    )
    wait_for(runs / "stages/extract-demo/STOP")
    (runs / "go-extract").touch()  # done before it looked
    said = stopping.communicate(timeout=60)[1]
    assert job.wait(30) == 75 and stopping.returncode == 0, said
    assert not (runs / "at-extract-test").exists() or "extract-test of run demo" in said


def test_a_job_that_does_not_answer_is_told(runs, seated, monkeypatch):
    monkeypatch.setattr(stop, "MORE_S", 0.5)
    seated("demo", "extract", DEAF="1")
    (runs / "demo/config.yaml").write_text("runtime: {grace_s: 0.5}\n")
    path = runs / "stages/extract-demo/status/main.json"
    # as of a job on another host that has heartbeats, but does not look for its file
    other = {**json.loads(path.read_text()), "host": "elsewhere", "label": "mix", "job": "mix", "updated": time.time()}
    (runs / "stages/mix-1/status").mkdir(parents=True)
    (runs / "stages/mix-1/status/main.json").write_text(json.dumps(other))
    with pytest.raises(UserError) as error:
        stop.stop(runs, "demo", "mix")
    assert "mix (elsewhere, process" in str(error.value) and "no answer after" in str(error.value)
    assert (runs / "stages/mix-1/STOP").exists()


def test_a_stale_job_is_called_so_and_nothing_is_waited_for(runs, seated):
    job = seated("demo", "extract")
    job.kill()
    job.wait()
    done = ask("stop", RUNS=str(runs), JOB="extract", RUN="demo")
    assert done.returncode == 0 and f"stale: process {job.pid}" in done.stderr
    assert "extract is not at work for run demo" in done.stderr and not list(runs.rglob("STOP"))


def test_nothing_is_at_work(runs):
    done = ask("stop", RUNS=str(runs))
    assert done.returncode == 0 and "no job is at work" in done.stderr
    typo = ask("stop", RUNS=str(runs), JOB="extrct")
    assert typo.returncode == 2 and "did you mean JOB=extract?" in typo.stderr
