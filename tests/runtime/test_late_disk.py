"""What another node made may be shown late by a network's disk: waited for on a cluster, told at once elsewhere."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from app.errors import ACT, DONE
from app.runtime.job import open_job
from app.runtime.part import Part
from app.runtime.shards import Shard

ROOT = Path(__file__).resolve().parents[2]

SPEC = {"job": "denoise", "version": 1, "config": {}, "inputs": {}}
SHARDS = [Shard(f"{n:05d}", [{"id": f"c{n}"}]) for n in range(4)]


JOB = """
import os, sys
from pathlib import Path
from app.errors import Missing
from app.runtime import late_disk, run
late_disk.LOOK_S, late_disk.SEEN_S = 0.1, float(os.environ["SEEN_S"])

def evaluate(one: run.Run) -> None:
    "Wants a file."
    if not (one.runs / "wanted").exists():
        raise Missing("it is not there", "make it")

sys.exit(run.job_main(evaluate))
"""


def begun(runs: Path, appears_s: float | None, seen_s: float, after: str) -> tuple[int, float, str]:
    """Exit code, seconds and words of a job that wants a file."""
    words = [sys.executable, "-c", JOB, "--run", "r", "--runs", str(runs)]
    env = {**os.environ, "SEEN_S": str(seen_s), "MOKSORI_AFTER": after}
    if not after:
        del env["MOKSORI_AFTER"]
    said, began = runs / "said", time.monotonic()
    with said.open("w") as heard:
        job = subprocess.Popen(words, cwd=ROOT, env=env, stderr=heard)
        while appears_s is not None and "not seen from" not in said.read_text() and job.poll() is None:
            time.sleep(0.05)
        if appears_s is not None:
            time.sleep(appears_s)
            (runs / "wanted").touch()
        job.wait(60)
    return job.returncode, time.monotonic() - began, said.read_text()


def test_on_a_cluster_what_is_not_there_yet_is_waited_for(tmp_path):
    code, _, said = begun(tmp_path, 1.0, 60.0, "1")
    assert code == DONE and said.count("not seen from") == 1, said


def test_but_not_for_ever(tmp_path):
    code, _, said = begun(tmp_path, None, 0.5, "1")
    assert code == ACT and "fix: make it" in said and "not seen from" in said


def test_elsewhere_it_is_told_at_once(tmp_path):
    code, took, said = begun(tmp_path, None, 60.0, "")
    assert code == ACT and took < 30 and "not seen from" not in said


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
