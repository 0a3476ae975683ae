"""Jobs on a real Slurm of two nodes: the same bytes as here, whatever is preempted, out of time, killed or broken."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from app.runtime.shards import receipt_of
from tests.jobs.road import CONFIG, JOBS, ROOT, call, make_corpus
from tests.slurm.cluster import Cluster

SITE = 'every: {cpus: 2, memory_gb: 2, time: "20:00", tasks: 3}\ntrain: {gpus: 0}\ninfer: {tasks: 2}\nwarn_s: 50\n'
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "BOOT_FAIL"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """(corpus, config, runs) of all jobs as this machine does them alone."""
    base = tmp_path_factory.mktemp("here")
    data, runs, config = make_corpus(base / "corpus"), base / "runs", base / "road.yaml"
    config.write_text(CONFIG.replace("epochs: 2", "epochs: 12, patience: 12"))
    for job in JOBS:
        done = call(job, config, data, runs, "--set", "runtime.max_failed=0.5")
        assert done.returncode == 0, done.stderr
    return data, config, runs


class Site:
    """RUNNER=slurm, as a user types it."""

    def __init__(self, cluster: Cluster, here, folder: Path, **env: str) -> None:
        self.cluster, self.runs = cluster, folder / "runs"
        (folder / "site.yaml").write_text(SITE)
        config = folder / "road.yaml"
        config.write_text(here[1].read_text().replace("nice: 0", "nice: 0, max_failed: 0.5, write_mb_s: 100"))
        names = {"CONFIG": config, "DATA": here[0], "RUNS": self.runs, "CLUSTER": folder / "site.yaml", "RUN": "road"}
        clean = {name: value for name, value in cluster.env.items() if name not in ("INPUT", "FINAL", "WORKERS")}
        self.env = {**clean, "RUNNER": "slurm", **{name: str(value) for name, value in names.items()}, **env}
        self.config = config

    def make(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words], cwd=ROOT, env={**self.env, **env}, capture_output=True, text=True, check=False
        )

    def submitted(self) -> dict[str, str]:
        """Name -> id, of what was handed over last."""
        lines = (self.runs / "road/slurm/submitted.jsonl").read_text().splitlines()
        return {row["name"]: row["id"] for row in map(json.loads, lines)}

    def states(self, name: str) -> list[str]:
        id = self.submitted()[name]
        return [state for one, state in self.cluster.states().items() if one.split("_")[0] == id]

    def ended(self, *names: str) -> bool:
        return all((states := self.states(name)) and set(states) <= OVER for name in names)

    def log(self, name: str) -> str:
        return "".join(path.read_text() for path in sorted((self.runs / "road/logs").glob(f"slurm-{name}-*.log")))


def same_shards(mine: Path, theirs: Path, part: str) -> None:
    one, other = ((runs / "road/stages" / part).resolve() for runs in (mine, theirs))
    assert one.name == other.name
    names = json.loads((one / "stage.json").read_text())["shards"]
    assert names and not list((one / "shards").glob(".draft@*"))
    for name in names:
        assert receipt_of(one / "shards", name) == receipt_of(other / "shards", name), f"{part} {name}"


def test_the_whole_road_as_arrays_and_a_chain(cluster, here, tmp_path):
    """The same bytes in every shard, the same weights, the same answers as on this machine alone."""
    site = Site(cluster, here, tmp_path)
    handed = site.make("all")
    assert handed.returncode == 0, handed.stderr
    assert "extract 5, 3 tasks" in handed.stderr.replace("\n", " ") or "3 tasks" in handed.stderr
    shown = site.make("status").stderr
    assert "Slurm's queue" in shown and "(Dependency)" in shown
    cluster.wait(lambda: site.ended("evaluate"), 420)
    names = [*JOBS, "denoise-join", "extract-join", "infer-join"]
    assert {name: set(site.states(name)) for name in names} == {name: {"COMPLETED"} for name in names}
    for part in ("prepare", "denoise", "mix", "extract", "extract-test"):
        same_shards(site.runs, here[2], part)
    for model in ("pooled_logistic", "crnn"):
        weights = [runs / f"road/models/{model}/best.safetensors" for runs in (site.runs, here[2])]
        assert weights[0].read_bytes() == weights[1].read_bytes(), model
    assert (site.runs / "road/submission.csv").read_bytes() == (here[2] / "road/submission.csv").read_bytes()
    scores = [json.loads((runs / "road/metrics.json").read_text())["data"] for runs in (site.runs, here[2])]
    assert scores[0] == scores[1]
    shown = site.make("status").stderr
    assert "denoise 2/3" in shown and "Slurm's queue" not in shown


@pytest.fixture
def ready(here, tmp_path):
    """A run of its own, prepared, mixed and extracted already."""
    shutil.copytree(here[2], tmp_path / "runs", symlinks=True)
    return tmp_path


def without(folder: Path, runs_part: str) -> Path:
    """The stage or model again, as if it had never been."""
    place = (folder / "runs/road" / runs_part).resolve()
    shutil.rmtree(place)
    return place


def preempted(cluster, folder: Path) -> None:
    """A better partition wants both nodes for a while."""
    wants = ("--partition=high", "--nodes=2", "--cpus-per-task=4", "--output=/dev/null")
    (folder / "hog.sbatch").write_text("\n".join(["#!/bin/bash", *(f"#SBATCH {want}" for want in wants), "sleep 5\n"]))
    cluster.ask("sbatch", str(folder / "hog.sbatch"))


def test_a_training_that_is_preempted_goes_on_bit_for_bit(cluster, here, ready):
    """A better partition takes its node."""
    site = Site(cluster, here, ready)
    longer = site.config.read_text().replace("epochs: 12, patience: 12", "epochs: 150, patience: 150, models: [crnn]")
    site.config.write_text(longer.replace("[4, 8], rnn_hidden: 8", "[8, 16], rnn_hidden: 24"))
    alone = call("train", site.config, here[0], here[2])
    assert alone.returncode == 0, alone.stderr
    assert site.make("train").returncode == 0
    cluster.wait(lambda: "epoch 5/150" in site.log("train"), 120)
    preempted(cluster, ready)
    cluster.wait(lambda: site.states("train") != ["RUNNING"], 60)
    cluster.wait(lambda: site.ended("train"), 420)
    assert site.states("train") == ["COMPLETED"] and "goes on after step" in site.log("train")
    told = cluster.ask("scontrol", "-o", "show", "job", site.submitted()["train"])
    assert int(told.split("Restarts=")[1].split()[0]) == 1, told
    weights = [(runs / "road/models/crnn").resolve() / "best.safetensors" for runs in (site.runs, here[2])]
    assert weights[0] != weights[1] and weights[0].read_bytes() == weights[1].read_bytes()


def test_a_training_on_two_nodes_goes_on_bit_for_bit_whatever_befalls_it(cluster, here, ready):
    """A process on each: out of time, preempted, a node dies. The weights are those of two processes on one machine."""
    site = Site(cluster, here, ready, WORKERS="1", NODES="2")
    longer = site.config.read_text().replace("epochs: 12, patience: 12", "epochs: 200, patience: 200, models: [crnn]")
    site.config.write_text(longer.replace("[4, 8], rnn_hidden: 8", "[8, 16], rnn_hidden: 20"))
    alone = call("train", site.config, here[0], here[2], "--workers", "2", "--set", "runtime.processes=2")
    assert alone.returncode == 0, alone.stderr
    (ready / "site.yaml").write_text(SITE.replace("gpus: 0", 'gpus: 0, time: "1:00"'))
    handed = site.make("train")
    assert handed.returncode == 0 and "2 nodes" in handed.stderr, handed.stderr

    def goes_on(times: int) -> bool:
        return site.states("train") == ["RUNNING"] and site.log("train").count("goes on after step") >= times

    cluster.wait(lambda: "queued again" in site.log("train"), 120)
    cluster.wait(lambda: goes_on(1), 120)
    cluster.ask("scontrol", "update", f"JobId={site.submitted()['train']}", "TimeLimit=20")
    preempted(cluster, ready)
    cluster.wait(lambda: site.states("train") != ["RUNNING"], 60)
    cluster.wait(lambda: goes_on(2), 120)
    cluster.kill_node("n2")
    cluster.wait(lambda: site.states("train") != ["RUNNING"], 60)
    cluster.start_node("n2")
    cluster.wait(lambda: site.ended("train"), 420)
    assert site.states("train") == ["COMPLETED"], site.log("train")
    assert "on 2 processes of the CPU of 2 nodes" in site.log("train")
    weights = [(runs / "road/models/crnn").resolve() / "best.safetensors" for runs in (site.runs, here[2])]
    assert weights[0] != weights[1] and weights[0].read_bytes() == weights[1].read_bytes()


def test_a_node_that_dies_takes_nothing_with_it(cluster, here, ready):
    """Its tasks are queued again, on the other node; the stage ends in the same bytes."""
    site = Site(cluster, here, ready)
    site.config.write_text(site.config.read_text().replace("write_mb_s: 100", "write_mb_s: 0.3"))
    without(ready, "stages/denoise")
    assert site.make("denoise").returncode == 0
    try:
        cluster.wait(lambda: list((site.runs / "stages").glob("denoise-*/shards/*/receipt.json")), 60)
        cluster.kill_node("n1")
        cluster.wait(lambda: "down" in cluster.ask("sinfo", "-h", "-n", "n1", "-o", "%t"), 90)
        cluster.wait(lambda: site.ended("denoise-join"), 300)
    finally:
        cluster.start_node("n1")
        cluster.wait(lambda: "idle" in cluster.ask("sinfo", "-h", "-n", "n1", "-o", "%t"), 60)
    assert site.states("denoise-join") == ["COMPLETED"]
    same_shards(site.runs, here[2], "denoise")


def test_a_broken_shard_ends_the_chain_and_the_same_command_goes_on(cluster, here, ready):
    """One recording is not the one that was prepared: its task fails, and what hangs on it is cancelled."""
    site = Site(cluster, here, ready)
    data = ready / "corpus"
    shutil.copytree(here[0], data)
    rows = (here[2] / "road/stages/denoise/shards/00001/manifest.jsonl").read_text().splitlines()
    broken = data / json.loads(rows[0])["path"]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-10])
    without(ready, "stages/denoise")
    assert site.make("denoise", "mix", DATA=str(data)).returncode == 0
    cluster.wait(lambda: site.ended("denoise", "denoise-join", "mix"), 120)
    assert sorted(site.states("denoise")) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert site.states("denoise-join") == site.states("mix") == ["CANCELLED"]
    assert not site.log("denoise-join") and not site.log("mix")  # never begun
    assert "not the recording that was prepared" in site.log("denoise") and "fix: " in site.log("denoise")
    broken.write_bytes(whole)
    assert site.make("denoise", DATA=str(data)).returncode == 0
    cluster.wait(lambda: site.ended("denoise-join"), 120)
    assert site.states("denoise-join") == ["COMPLETED"]
    same_shards(site.runs, here[2], "denoise")


def test_stop_empties_the_queue_and_nothing_comes_back(cluster, here, ready):
    site = Site(cluster, here, ready)
    site.config.write_text(site.config.read_text().replace("write_mb_s: 100", "write_mb_s: 0.2"))
    without(ready, "stages/denoise")
    assert site.make("denoise", "mix").returncode == 0
    cluster.wait(lambda: "RUNNING" in site.states("denoise"), 60)
    time.sleep(4)
    stopped = site.make("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "is cancelled" in stopped.stderr and "stopped" in stopped.stderr
    cluster.wait(lambda: site.ended("denoise", "denoise-join", "mix"), 60)
    assert "queued again" not in site.log("denoise")
    time.sleep(2)
    assert cluster.ask("squeue", "-h") == ""


@pytest.mark.parametrize(
    ("site_yaml", "words"),
    [
        ("every: {partition: nowhere}", "sbatch refused it"),
        ("runtime: apptainer", "image: null"),
        ("evry: {}", "did you mean 'every'?"),
    ],
)
def test_what_slurm_would_refuse_is_told_before(cluster, here, ready, site_yaml, words):
    site = Site(cluster, here, ready)
    (ready / "site.yaml").write_text(site_yaml)
    done = site.make("denoise")
    assert done.returncode == 2 and words in done.stderr and "fix: " in done.stderr, done.stderr
