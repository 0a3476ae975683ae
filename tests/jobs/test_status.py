"""make status tells of every job what it does, to people and to scripts."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest
from rich.console import Console

from app.runtime.files import here
from jobs.status import belongs, picture, tasks_under
from tests.jobs.sitter import ROOT, ask, clean, sit

STATES = ("done", "failed", "stopped", "running", "yielding to others", "waiting for GPU")


@pytest.fixture
def runs(tmp_path):
    """Stages, a model and a report in every state, as their status files have them; all say they are on this host."""
    now = time.time()
    folders = [
        "stages/mix-1",
        "stages/extract-2",
        "demo/models/crnn-3",
        "stages/infer-4",
        "stages/denoise-5",
        "x/report",
    ]
    for number, (folder, state) in enumerate(zip(folders, STATES, strict=True)):
        job = folder.split("/")[-1].split("-")[0].replace("crnn", "train").replace("report", "evaluate")
        status = {
            "job": job, "label": "train crnn" if job == "train" else job, "run": "x" if number == 5 else "demo",
            "task": "main", "state": state, "host": os.uname().nodename, "where": here(),
            "pid": os.getpid(), "started": now + number, "updated": now - 50 + number,
            "seconds": 50.0, "done": 41, "total": 120, "unit": "shards", "clips": 2050,
            "failed": 3 * (number == 0), "rate": 31.4, "eta_s": None if number < 3 else 125, "peak_mb": 812.0,
            "used_mb": 300.0, "note": {1: "no space", 5: "GPU 0 and 1 are busy, since 11:02"}.get(number, ""),
        }  # fmt: skip
        (tmp_path / folder / "status").mkdir(parents=True)
        (tmp_path / folder / "status" / "main.json").write_text(json.dumps(status))
    (tmp_path / "demo/models/crnn").symlink_to("crnn-3")
    return tmp_path


def drawn(tasks, width):
    out = StringIO()
    Console(file=out, width=width).print(picture(tasks, width))
    return out.getvalue()


def test_every_job_is_there_once_and_those_at_work_stand_first(runs):
    tasks = tasks_under(runs)
    assert [task["state"] for task in tasks] == [
        "running", "yielding to others", "waiting for GPU", "stopped", "failed", "done",
    ]  # fmt: skip


def test_a_job_whose_process_is_gone_is_stale(runs):
    gone = subprocess.Popen(["true"])
    gone.wait()
    path = runs / "stages/infer-4/status/main.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": gone.pid}))
    [stale] = [task for task in tasks_under(runs) if task["state"] == "stale"]
    assert stale["job"] == "infer" and "its process is gone" in drawn([stale], 200)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_the_terminal_and_loses_nothing(runs, width):
    text = drawn(tasks_under(runs), width)
    assert all(len(line) <= width for line in text.splitlines())
    squeezed = re.sub(r"[\s│]+", "", text)
    for word in ("yielding", "waiting", "failed", "stopped", "41/120", "31.4", "2m", "812", "300", "evaluate"):
        assert word in squeezed, word
    assert text.count("41/120") == 6
    assert "extract (demo): no space" in text and "evaluate (x): GPU 0 and 1 are busy, since 11:02" in text
    assert "mix (demo): 3 of 2050 clips failed" in text


def test_scripts_get_a_list_and_nothing_else(runs):
    done = ask("status", RUNS=str(runs), JSON="1")
    tasks = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == "" and len(tasks) == 6
    assert {task["state"] for task in tasks} == set(STATES)
    assert {task["folder"] for task in tasks} >= {str(runs / "stages/mix-1"), str(runs / "x/report")}
    assert all({"host", "pid", "rate", "eta_s", "peak_mb", "started", "note"} <= set(task) for task in tasks)


def test_run_and_job_choose(runs):
    def chosen(**env):
        return [task["job"] for task in json.loads(ask("status", RUNS=str(runs), JSON="1", **env).stdout)]

    assert chosen(RUN="x") == ["evaluate"] and chosen(CONFIG="configs/x.yaml") == ["evaluate"]
    assert chosen(JOB="train") == ["train"] and chosen(RUN="x", JOB="mix") == []
    assert len(chosen(JOB="all")) == 6


def test_what_infer_extracts_first_is_infer_too():
    task = {"job": "extract", "label": "extract-input", "run": "r"}
    assert all(belongs(task, "r", job) for job in ("extract", "extract-input", "infer", None, "all"))
    assert not belongs(task, "r", "train") and not belongs(task, "q", None)


def test_no_job_at_all(tmp_path):
    done = ask("status", RUNS=str(tmp_path))
    assert done.returncode == 0 and "no job has run yet" in done.stderr
    assert ask("status", RUNS=str(tmp_path), JSON="1").stdout == "[]\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").touch()
    typo = ask("status", RUNS=str(tmp_path), RUN="mime")
    assert typo.returncode == 2 and "has no run mime" in typo.stderr and "there are: mine" in typo.stderr


def test_a_job_at_work_is_watched_until_ctrl_c(tmp_path):
    job = sit(tmp_path / "runs", "demo", "extract")
    ours, theirs = pty.openpty()
    env = {**clean(), "RUNS": str(tmp_path / "runs"), "WATCH": "1", "TERM": "xterm", "COLUMNS": "100"}
    watch = subprocess.Popen([sys.executable, "-m", "jobs.status"], cwd=ROOT, env=env, stderr=theirs)
    os.close(theirs)
    try:
        seen = b""
        while seen.count(b"41/120") < 2 and select.select([ours], [], [], 30)[0]:  # drawn once more, over the first
            seen += os.read(ours, 4096)
        assert b"running" in seen and b"3 of 2050 clips failed" in seen
        watch.send_signal(signal.SIGINT)
        try:
            while select.select([ours], [], [], 30)[0] and (piece := os.read(ours, 4096)):
                seen += piece
        except OSError:
            pass  # so a terminal ends
        assert watch.wait(10) == 0 and b"Traceback" not in seen
    finally:
        watch.kill()
        job.terminate()
        assert job.wait(30) == 75
