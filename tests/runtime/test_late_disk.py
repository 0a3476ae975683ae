"""What another node made may be shown late by a network's disk: waited for on a cluster, told at once elsewhere."""

import sys
import threading
import time

import pytest

from app.errors import ACT, DONE, Missing
from app.runtime import run as run_module
from app.runtime.job import open_job
from app.runtime.part import Part
from app.runtime.run import Run, job_main
from app.runtime.shards import Shard

SPEC = {"job": "denoise", "version": 1, "config": {}, "inputs": {}}
SHARDS = [Shard(f"{n:05d}", [{"id": f"c{n}"}]) for n in range(4)]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Begins a job that wants a file, and gives its exit code and how long it took."""
    monkeypatch.setattr(run_module, "LOOK_S", 0.1)
    monkeypatch.setattr(run_module, "STOP", run_module.StopFlag())
    monkeypatch.setattr(sys, "argv", ["x", "--run", "r", "--runs", str(tmp_path), "--set", "runtime.nice=0"])
    wanted = tmp_path / "wanted"

    def evaluate(run: Run) -> None:
        """Wants a file."""
        if not wanted.exists():
            raise Missing("it is not there", "make it")

    def begin(appears_s: float | None) -> tuple[int, float]:
        began = time.monotonic()
        if appears_s is not None:
            threading.Timer(appears_s, wanted.touch).start()
        return job_main(evaluate), time.monotonic() - began

    return begin


def test_on_a_cluster_what_is_not_there_yet_is_waited_for(job, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    code, took = job(1.0)
    said = capsys.readouterr().err
    assert code == DONE and took > 0.9 and said.count("not seen from") == 1


def test_but_not_for_ever(job, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(run_module, "SEEN_S", 0.5)
    code, _ = job(None)
    assert code == ACT and "fix: make it" in capsys.readouterr().err


def test_elsewhere_it_is_told_at_once(job, monkeypatch, capsys):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    code, took = job(None)
    assert code == ACT and took < 5 and "not seen from" not in capsys.readouterr().err


def write(shard, out):
    for row in out.each(shard):
        out.done(row)


def test_who_joins_waits_for_shards_that_another_node_has_done(a_run):
    """They are hidden, and shown while it waits."""
    run = a_run()
    run.part = Part(0, 1)
    with open_job(run, "denoise", SPEC) as whole:
        whole.run(write, SHARDS, preload=None, row_bytes=lambda row: 10.0)
    shown, hidden = whole.shards / "00002", whole.folder / "hidden"
    shown.rename(hidden)
    made = (hidden / "receipt.json").stat().st_ino
    threading.Timer(1.5, hidden.rename, (shown,)).start()
    join, began = a_run(), time.monotonic()
    join.joins = True
    with open_job(join, "denoise", SPEC) as job:
        job.run(write, SHARDS, preload=None, row_bytes=lambda row: 10.0)
    assert time.monotonic() - began > 1.4
    assert (shown / "receipt.json").stat().st_ino == made and job.complete  # that one, not done again
