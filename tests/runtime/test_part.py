"""Parts of a stage, beside each other and beside a whole job."""

import os
import time

import pytest

from app.errors import UserError
from app.runtime.job import is_complete, open_job
from app.runtime.locks import take_lock
from app.runtime.part import Part, part_of
from app.runtime.queue import queued
from app.runtime.shards import Shard
from app.runtime.status import read_status

SPEC = {"job": "denoise", "version": 1, "config": {}, "inputs": {}}
SHARDS = [Shard(f"{n:05d}", [{"id": f"c{n}"}]) for n in range(7)]


def write(shard, out):
    for row in out.each(shard):
        out.done(row)


def work(run, part=None):
    run.part = part
    with open_job(run, "denoise", SPEC) as job:
        if not job.complete:
            job.run(write, SHARDS, preload=None, row_bytes=lambda row: 10.0)
    return job


@pytest.mark.parametrize(("text", "part"), [(None, None), ("", None), ("0/1", Part(0, 1)), ("7/8", Part(7, 8))])
def test_a_part_is_read(text, part):
    assert part_of(text, "extract") == part


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "a/b", "1/0", "1/2/3"])
def test_what_is_no_part_is_told(text):
    with pytest.raises(UserError, match="PART="):
        part_of(text, "extract")
    with pytest.raises(UserError, match="train is not done in parts"):
        part_of("0/2", "train")


def test_parts_share_all_shards_and_a_whole_job_ends_the_stage(a_run):
    run = a_run()
    done = []
    for number in (2, 0, 1):
        job = work(run, Part(number, 3))
        done.append(sorted(path.parent.name for path in job.shards.glob("*/receipt.json")))
    assert done == [["00002", "00005"], ["00000", "00002", "00003", "00005", "00006"], [s.name for s in SHARDS]]
    assert is_complete(job.folder) and "denoise" not in run.stages()
    tasks = {status["task"]: (status["label"], status["done"], status["state"]) for status in read_status(job.folder)}
    assert tasks["part-0001-of-3"] == ("denoise 1/3", 2, "done") and len(tasks) == 3
    (job.shards / ".draft@elsewhere@00001@1-x").mkdir()  # of a part that was killed
    work(run)
    assert run.stages()["denoise"] == job.folder.name
    assert not list(job.shards.glob(".draft@*"))


def test_parts_are_beside_each_other_and_not_beside_a_whole_job(a_run, tmp_path):
    run = a_run()
    run.part = Part(0, 2)
    with open_job(run, "denoise", SPEC) as job:
        job.run(write, SHARDS, preload=None, row_bytes=lambda row: 10.0)
        other = take_lock(job.folder / "lock", shared=True)
        assert other is not None and other.works
        os.close(other.handle)
        assert take_lock(job.folder / "lock") is None
        whole = a_run()
        with pytest.raises(UserError, match="is already running"):
            work(whole)
        work(a_run(), Part(1, 2))  # beside it
    assert is_complete(job.folder)


def test_a_stop_is_for_all_parts(a_run):
    """The file stays when a part begins: it may be meant for those beside it."""
    run = a_run()
    folder = work(run, Part(0, 4)).folder
    (folder / "STOP").touch()
    with pytest.raises(Exception, match="STOP"):
        work(a_run(), Part(1, 4))
    assert (folder / "STOP").exists()
    assert time.time() - (folder / "STOP").stat().st_mtime < 60


def test_a_queue_that_does_not_answer_is_told(tmp_path, monkeypatch, capsys):
    """A stand-in for a squeue whose controller is away: the real one is in tests/slurm."""
    (tmp_path / "runs/road/slurm").mkdir(parents=True)
    (tmp_path / "runs/road/slurm/submitted.jsonl").write_text('{"id": "7", "name": "mix"}\n')
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert queued(tmp_path / "runs") == []
    said = capsys.readouterr().err
    assert "Unable to contact slurm controller" in said and "fix: " in said
    assert queued(tmp_path / "none") == [] and capsys.readouterr().err == ""
