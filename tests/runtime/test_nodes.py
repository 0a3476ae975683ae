"""Nodes of one job find each other, begin again together, and never outlive it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.errors import ACT, UserError
from app.runtime.nodes import Node, Nodes, addresses, meeting_file, node_of

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, node: str, steps: int = 5, kill: int = 0, turns: int = 1, **env: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "tests.runtime.nodes_job", "--run", "r", "--runs", str(folder), "--node", node]
    told = {"MEMBERS": folder, "STEPS": steps, "KILL": kill, "TURNS": turns}
    full = {**os.environ, **{name: str(value) for name, value in told.items()}, **env}
    words += ["--set", "runtime.yield_to_others=false"]
    return subprocess.Popen(words, cwd=ROOT, env=full, stderr=subprocess.PIPE, text=True)


def ended(*nodes: subprocess.Popen) -> tuple[list[int], list[str]]:
    said = [node.communicate(timeout=60)[1] for node in nodes]
    return [node.returncode for node in nodes], said


def until_said(job: subprocess.Popen, words: str) -> None:
    lines = []
    while words not in (line := job.stderr.readline()):
        lines.append(line)
        assert line, lines


def begun(folder: Path, rank: int) -> list[int]:
    path = folder / f"begun-{rank}"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def wait_for(done, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def test_they_find_each_other_whoever_comes_first_and_work_twice(tmp_path):
    helper = start(tmp_path, "1/2", turns=2)
    time.sleep(1.5)
    codes, said = ended(start(tmp_path, "0/2", turns=2), helper)
    assert codes == [0, 0], said
    assert "turn 1 is over" in said[0] and "the first one has left" in said[1]
    assert len(begun(tmp_path, 0)) == len(begun(tmp_path, 1)) == 2
    assert not list((tmp_path / "r").glob(".nodes*"))


def test_a_member_that_dies_on_the_other_node_makes_all_begin_again(tmp_path):
    codes, said = ended(start(tmp_path, "0/2", kill=1), start(tmp_path, "1/2", kill=1))
    assert codes == [0, 0], said
    assert "one of 2 processes died: all begin again" in said[0]
    assert len(begun(tmp_path, 0)) == len(begun(tmp_path, 1)) == 2


def test_a_job_that_is_killed_leaves_nobody_on_the_other_node(tmp_path):
    job, helper = start(tmp_path, "0/2", steps=100000), start(tmp_path, "1/2", steps=100000)
    wait_for(lambda: begun(tmp_path, 0) and begun(tmp_path, 1))
    below = [one for node in (job, helper) for one in psutil.Process(node.pid).children(recursive=True)]
    job.kill()
    codes, said = ended(helper)
    assert codes == [0] and "the first one has left" in said[0]
    psutil.wait_procs(below, 10)
    assert len(below) == 4 and not [one for one in below if one.is_running()]
    job.communicate()


@pytest.mark.parametrize("key", ["SLURM_RESTART_COUNT", "SLURM_STEP_ID"])
def test_under_slurm_who_comes_when_all_is_over_leaves_and_does_not_believe_an_earlier_try(tmp_path, key):
    slurm = {"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "1", "SLURM_STEP_ID": "0"}
    assert ended(start(tmp_path, "0/2", turns=0, **slurm))[0] == [0]
    assert json.loads((tmp_path / "r/.nodes-train-5.json").read_text()) == {"over": "1.0", "code": 0}
    codes, said = ended(start(tmp_path, "1/2", **slurm))
    assert codes == [0] and "has left already" in said[0], said
    again = {**slurm, key: "2"}
    helper = start(tmp_path, "1/2", **again)
    time.sleep(3)
    assert helper.poll() is None
    codes, said = ended(start(tmp_path, "0/2", **again), helper)
    assert codes == [0, 0] and "helps the one on" in said[1], said


def test_a_helper_that_dies_between_two_crews_stops_the_job(tmp_path):
    job, helper = start(tmp_path, "0/2", turns=2, PAUSE_S="4"), start(tmp_path, "1/2", turns=2)
    until_said(job, "turn 0 is over")
    helper.kill()
    codes, said = ended(job, helper)
    assert codes == [75, -9] and "node 1 (" in said[0] and "Traceback" not in said[0], said


ALONE = """
import os, sys, time
from contextlib import contextmanager
from app.runtime import helping
from app.runtime.nvml import GpuLost
from tests.runtime.nodes_job import train
from app.runtime.run import job_main
helping.COME_S = float(os.environ["COME_S"])

@contextmanager
def waiting(*args, leave, **keys):
    print("looks for a GPU", file=sys.stderr, flush=True)
    while True:
        time.sleep(0.05)
        leave()
        if os.environ["GPU_IS"] == "lost":
            raise GpuLost("GPU 0 fell off the bus")
    yield

helping.taken_gpus = waiting
sys.exit(job_main(train))
"""


def alone(folder: Path, come_s: float = 60.0, gpu: str = "") -> subprocess.Popen:
    """A helper; its search for a GPU is a stand-in, for there is none here: it waits for ever, or loses it."""
    words = [sys.executable, "-c", ALONE, "--run", "r", "--runs", str(folder), "--node", "1/2"]
    env = {**os.environ, "COME_S": str(come_s), "GPU_IS": gpu}
    env.pop("SLURM_JOB_ID", None)
    return subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def test_a_helper_that_finds_nobody_says_so_and_leaves_the_runs_config_alone(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/config.yaml").write_text("seed: 3\n")
    codes, said = ended(alone(tmp_path, come_s=0.5))
    assert codes == [ACT] and "was not found" in said[0], said
    assert (tmp_path / "r/config.yaml").read_text() == "seed: 3\n"


@pytest.mark.parametrize("gpu", ["awaited", "lost"])
def test_a_helper_that_waits_for_a_gpu_hears_that_the_job_is_over_or_tells_that_the_gpu_is_lost(tmp_path, gpu):
    nodes, told = Nodes(2), []
    helper = alone(tmp_path, gpu=gpu)
    with nodes.met(tmp_path / "r/.nodes-train-by-hand.json", told.append):
        nodes.gather(print, lambda: None)
        nodes.helpers[0].tell("gpus", count=1)
        until_said(helper, "looks for a GPU")
        wait_for(lambda: told or gpu == "awaited", 10)
    codes, said = ended(helper)
    assert codes == [0] and "the first one has left" in said[0], said
    assert [one.split(" on node")[0] for one in told] == (["GPU 0 fell off the bus"] if gpu == "lost" else [])


def test_a_helper_without_a_job_leaves_when_told(tmp_path):
    helper = start(tmp_path, "1/2")
    path = tmp_path / "r/.nodes-train-by-hand.json"
    path.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as another:  # what an earlier attempt left: its port is another's now
        at = [f"127.0.0.1:{another.getsockname()[1]}", "127.0.0.1:1"]
        path.write_text(json.dumps({"at": at, "secret": "5e" * 32}))
        another.settimeout(30)
        another.accept()[0].close()
    assert "looks for the first one" in helper.stderr.readline()
    helper.send_signal(signal.SIGTERM)
    codes, said = ended(helper)
    assert codes == [0], said


def test_where_they_meet_only_its_owner_can_read(tmp_path):
    nodes = Nodes(2)
    path = tmp_path / "meeting.json"
    before = os.umask(0)
    try:
        with nodes.met(path, lambda reason: None):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert json.loads(path.read_text())["secret"] == nodes.secret
    finally:
        os.umask(before)
    assert not path.exists()


def test_slurms_own_address_comes_first_and_loopback_last(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.1.2.3")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    found = addresses()
    assert found[0] == "10.1.2.3" and {"127.0.0.1", "::1"} & set(found[-2:]) and len(set(found)) == len(found)
    assert meeting_file(tmp_path, "train").name == ".nodes-train-77.json"


def test_which_node_it_is(monkeypatch):
    monkeypatch.delenv("SLURM_NODEID", raising=False)
    assert node_of(None, "train") is node_of("", "extract") is node_of("0/1", "train") is None
    assert node_of("1/2", "train") == Node(1, 2)
    monkeypatch.setenv("SLURM_NODEID", "3")
    assert node_of("4", "sweep") == Node(3, 4) and node_of("1/2", "train") == Node(1, 2)
    for text, job, words in [("2/2", "train", "NODE=0/2"), ("x", "train", "no node"), ("0/2", "infer", "only train")]:
        with pytest.raises(UserError, match=words) as caught:
            node_of(text, job)
        assert caught.value.fix
    monkeypatch.delenv("SLURM_NODEID")
    with pytest.raises(UserError, match="no node"):
        node_of("2", "train")
