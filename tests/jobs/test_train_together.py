"""`train` by two processes: killed, stopped or left alone, it comes to the same bytes, and leaves nobody behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.jobs.road import CONFIG, DEMO, ROOT, call, command

FILES = ("last.safetensors", "best.safetensors", "metrics.jsonl")
MORE = ("--set", "runtime.processes=2", "--workers", "2", "--set", "train.models=[crnn]", "--set", "train.epochs=40",
        "--set", "train.patience=99")  # fmt: skip
STEPS = 6 * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    (folder / "road.yaml").write_text(CONFIG)
    for job in ("prepare", "denoise", "mix", "extract"):
        done = call(job, folder / "road.yaml", DEMO, folder / "runs")
        assert done.returncode == 0, done.stderr
    return folder


def start(folder: Path, run: str) -> subprocess.Popen:
    words = command("train", folder / "road.yaml", DEMO, folder / "runs", *MORE, "--run", run)
    return subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def model(folder: Path, run: str) -> Path:
    return (folder / "runs" / run / "models" / "crnn").resolve()


def status(folder: Path, run: str) -> dict:
    found = list((folder / "runs" / run / "models").glob("crnn-*/status/main.json"))
    return json.loads(found[0].read_text()) if found else {"done": 0, "total": 0}


def at_step(folder: Path, run: str, step: int, job: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while status(folder, run)["done"] < step and time.monotonic() < until and job.poll() is None:
        time.sleep(0.02)
    assert job.poll() is None and status(folder, run)["done"] >= step


def ranks(job: subprocess.Popen) -> list[int]:
    """The members of its crew; the agent names their module too."""
    below = psutil.Process(job.pid).children(recursive=True)
    lines = {one.pid: one.cmdline() for one in below}
    return [pid for pid, line in lines.items() if "jobs.rank" in line and "app.runtime.crew_agent" not in line]


@pytest.fixture(scope="module")
def whole(folder):
    run = copied(folder, "whole")
    job = start(folder, run)
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 0, said
    assert "on 2 processes of the CPU" in said and "epoch 40/40" in said and "done: score" in said
    assert status(folder, run)["done"] == status(folder, run)["total"] == STEPS
    return model(folder, run)


def copied(folder: Path, run: str) -> str:
    """A run of its own on the same stages."""
    place = folder / "runs" / run
    place.mkdir(exist_ok=True)
    for name in ("corpus.json", "stages.json"):
        (place / name).write_text((folder / "runs/road" / name).read_text())
    return run


def assert_the_same(folder: Path, run: str, whole: Path, threads: bool = True) -> None:
    """threads: calibrated by as many, too."""
    for name in FILES:
        assert (model(folder, run) / name).read_bytes() == (whole / name).read_bytes(), name
    if not threads:
        return
    mine, theirs = (json.loads((place / "model.json").read_text()) for place in (model(folder, run), whole))
    assert mine == theirs


def test_one_of_two_that_is_killed_costs_time_alone(folder, whole):
    run = copied(folder, "killed")
    job = start(folder, run)
    at_step(folder, run, 20, job)
    two = ranks(job)
    assert len(two) == 2
    os.kill(max(two), signal.SIGKILL)
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 0, said
    assert "goes on after step" in said
    assert_the_same(folder, run, whole)


def test_stopped_in_the_midst_it_goes_on_to_the_same(folder, whole):
    run = copied(folder, "stopped")
    job = start(folder, run)
    at_step(folder, run, 1, job)
    two = ranks(job)
    at_step(folder, run, 30, job)
    began = time.monotonic()
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 75 and time.monotonic() - began < 20, said
    assert len(two) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in two)
    step = status(folder, run)["done"]
    assert 30 <= step < STEPS and status(folder, run)["state"] == "stopped"
    job = start(folder, run)
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 0 and f"goes on after step {step}" in said, said
    assert_the_same(folder, run, whole)


def start_node(folder: Path, run: str, node: str, job: str = "train") -> subprocess.Popen:
    """As on one of two machines that share RUNS: one process each."""
    alone = [word.replace("processes=2", "processes=1") for word in MORE]
    alone[alone.index("--workers") + 1] = "1"
    words = command(job, folder / "road.yaml", DEMO, folder / "runs", *alone, "--run", run, "--node", node)
    env = {**os.environ, "N": "2"}  # of `seeds`
    return subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_two_nodes_with_a_process_each_come_to_the_bytes_of_two_processes(folder, whole):
    run = copied(folder, "nodes")
    nodes = [start_node(folder, run, f"{number}/2") for number in (1, 0)]
    said = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "on 2 processes of the CPU of 2 nodes" in said[1] and "helps the one on" in said[0]
    assert_the_same(folder, run, whole, threads=False)
    assert len(status(folder, run)["host"].split(", ")) == 2 and not list((folder / "runs" / run).glob(".nodes-*"))
    nodes = [
        start_node(folder, run, f"{number}/2", "seeds") for number in (0, 1)
    ]  # several trainings, one after another
    said = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0] and "score on select with 2 seeds" in said[0], said
    assert "on 2 processes of the CPU of 2 nodes" in said[0]


def test_a_node_that_is_told_to_stop_takes_all_along_and_they_go_on_to_the_same(folder, whole):
    run = copied(folder, "nodes-told")
    nodes = [start_node(folder, run, f"{number}/2") for number in (0, 1)]
    at_step(folder, run, 30, nodes[0])
    nodes[1].send_signal(signal.SIGTERM)
    said = [node.communicate(timeout=60)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [75, 0], said
    step = status(folder, run)["done"]
    assert 30 <= step < STEPS and "SIGTERM on node 1" in status(folder, run)["note"]
    nodes = [start_node(folder, run, f"{number}/2") for number in (0, 1)]
    said = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0] and f"goes on after step {step}" in said[0], said
    assert_the_same(folder, run, whole, threads=False)


def test_a_node_that_dies_stops_the_job_and_leaves_nobody(folder, whole):
    run = copied(folder, "nodes-dead")
    nodes = [start_node(folder, run, f"{number}/2") for number in (0, 1)]
    at_step(folder, run, 30, nodes[0])
    below = [one for node in nodes for one in psutil.Process(node.pid).children(recursive=True)]
    nodes[1].kill()
    said = nodes[0].communicate(timeout=60)[1]
    nodes[1].communicate(timeout=60)
    assert (
        nodes[0].returncode == 75 and "stopped (node 1 (" in said and "is gone" in said and "Traceback" not in said
    ), said
    psutil.wait_procs(below, 10)
    assert len(below) == 4 and not [one for one in below if one.is_running()]


def test_a_training_that_diverges_is_told_once_and_in_words(folder):
    done = call("train", folder / "road.yaml", DEMO, folder / "runs", *MORE, "--set", "train.learning_rate=1.0e+30",
                "--set", "train.clip_norm=1.0e+30", "--run", copied(folder, "wild"))  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "the training diverged" in done.stderr and "Traceback" not in done.stderr
