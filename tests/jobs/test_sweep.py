"""make sweep on the demo's recordings: cut and killed it tries the same, and it stays within its budget."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from app.config import read_config
from app.runtime.run import Run
from app.runtime.status import read_status
from app.runtime.stop import StopFlag
from app.scoring.tried import Tried
from jobs.status import is_at_work, tasks_under
from jobs.sweep import _base
from jobs.sweep_result import write_best
from tests.jobs.road import CONFIG, DEMO, ROOT, call, command

SWEEP = """
sweep:
  space:
    learning_rate: {log: [0.0001, 0.3]}
    dropout: {uniform: [0.0, 0.5]}
    rnn_hidden: {choice: [8, 12]}
    ssl: {choice: [WAV2VEC2_BASE]}
"""
TRIALS = "8"
FEW = CONFIG.replace("epochs: 2", "epochs: 4, learning_rate: 0.01, models: [pooled_logistic]")


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    base = tmp_path_factory.mktemp("sweep")
    config, runs = base / "road.yaml", base / "runs"
    config.write_text(FEW + SWEEP)
    for job in ("prepare", "denoise", "mix", "extract"):
        done = call(job, config, DEMO, runs)
        assert done.returncode == 0, done.stderr
    subprocess.run(["cp", "-a", runs, base / "again"], check=True)
    return config, runs, base / "again"


@pytest.fixture(scope="module")
def swept(road):
    """What it said, unbroken."""
    config, runs, _ = road
    done = call("sweep", config, DEMO, runs, N=TRIALS)
    assert done.returncode == 0, done.stderr
    return done.stderr


def result(runs):
    told = json.loads((runs / "road/sweep/sweep.json").read_text())
    return {**told, "tried": [{**one, "seconds": 0} for one in told["tried"]]}


def test_it_tries_the_configs_own_settings_first_and_prunes(road, swept):
    config, runs, _ = road
    told = result(runs)
    assert len(told["tried"]) == int(TRIALS) and told["tried"][0]["values"] == told["own"]
    assert told["own"] == {"learning_rate": 0.01, "dropout": 0.2, "rnn_hidden": 8}
    states = [one["state"] for one in told["tried"]]
    assert set(states) <= {"done", "pruned", "diverged"} and states[:4] == ["done"] * 4 and "pruned" in states
    folders = {one["state"]: runs / "road/models" / one["folder"] for one in told["tried"]}
    [status] = read_status(folders["pruned"])
    assert status["state"] == "done" and status["note"].startswith("pruned: ")  # `make stop` has not to do with it
    assert "sweep  trial 5: learning_rate " in swept and "worse than the median after epoch" in swept
    assert "not searched, for they do not shape crnn: ssl" in swept


def test_the_best_one_goes_on_by_its_config(road, swept):
    config, runs, _ = road
    told, best = result(runs), runs / "road/sweep/best.yaml"
    chosen = next(one for one in told["tried"] if one["number"] == told["best"])
    assert chosen["score"] == min(one["score"] for one in told["tried"] if one["state"] == "done")
    assert f"trial {chosen['number']} is the best of {TRIALS}: {chosen['score']:.4f} on select" in swept
    assert not (runs / "road/models/crnn").exists()  # the config's own is what `make infer` takes without it
    more = ["--set", "infer.model=crnn"]
    done = call("infer", best, DEMO, runs, *more)
    assert done.returncode == 0 and f"infer  by crnn, select score {chosen['score']:.4f}" in done.stderr, done.stderr
    done = call("evaluate", best, DEMO, runs, *more)
    assert done.returncode == 0, done.stderr
    notes = " ".join(json.loads((runs / "road/metrics.json").read_text())["notes"])
    assert f"on calibrate, which chose nothing, {told['unseen']['best']:.4f}" in notes
    assert 0.0 < told["unseen"]["best"] < 0.6 and "own" in told["unseen"]


def test_the_page_shows_every_trial(road, swept):
    page = (road[1] / "road/sweep/index.html").read_text()
    assert (
        page.count("<svg") == 4 and "score by learning_rate" in page and page.count('<th scope="row">') == int(TRIALS)
    )
    assert "://" not in page.replace("http://www.w3.org", "")


def test_killed_cut_and_short_of_time_it_tries_the_same(road, swept):
    config, runs, again = road
    words = command("sweep", config, DEMO, again)
    for number, trial in ((signal.SIGKILL, 2), (signal.SIGTERM, 4), (signal.SIGKILL, 6)):
        process = subprocess.Popen(words, cwd=ROOT, env={**_env(), "N": TRIALS}, stderr=subprocess.PIPE, text=True)
        said = ""
        while f"sweep  trial {trial}: " not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        time.sleep(0.3)
        process.send_signal(number)
        said += process.communicate(timeout=60)[1]
        assert process.returncode == (75 if number == signal.SIGTERM else -9), said
    with contextlib.suppress(FileExistsError):  # a kill within a write leaves its lock: one of these may have done so
        (again / "road/sweep/journal.log.lock").symlink_to("journal.log")
    began = time.monotonic()
    done = call("sweep", config, DEMO, again, BUDGET="7s", N=TRIALS)
    assert done.returncode == 0 and time.monotonic() - began < 7 + 20, done.stderr
    while len([one for one in result(again)["tried"] if one["state"] != "unfinished"]) < int(TRIALS):
        done = call("sweep", config, DEMO, again, BUDGET="10s", N=TRIALS)
        assert done.returncode == 0, done.stderr
    assert result(again) == result(runs)
    best = result(again)["tried"][result(again)["best"] - 1]["folder"]
    shutil.rmtree(again / "road/models" / best)
    done = call("sweep", config, DEMO, again, N=TRIALS)
    assert done.returncode == 0 and f"models/{best} of trial " in done.stderr and "is gone" in done.stderr, done.stderr


def _env():
    return {k: v for k, v in os.environ.items() if k not in ("CONFIG", "RUN", "DATA", "RUNS", "INPUT", "FINAL")}


def test_what_cannot_be_searched_is_told(road, swept):
    config, runs, _ = road
    done = call("sweep", config, DEMO, runs)
    assert done.returncode == 2 and "BUDGET=2h" in done.stderr and "N=20" in done.stderr
    done = call("sweep", config, DEMO, runs, "--set", "sweep.model=pooled_boosting", N="3")
    assert done.returncode == 2 and "nothing to be searched" in done.stderr
    done = call("sweep", config, DEMO, runs, "--set", "sweep.space={ssl: {choice: [WAV2VEC2_BASE]}}", N="3")
    assert done.returncode == 2 and "no key of it shapes crnn" in done.stderr
    few = "{learning_rate: {choice: [null, 0.005]}, dropout: {choice: [0, 0.2]}}"
    done = call("sweep", config, DEMO, runs, "--set", f"sweep.space={few}", N="2")
    assert done.returncode == 0 and "learning_rate 0.01 lies outside of sweep.space" in done.stderr, done.stderr
    told, best = result(runs), yaml.safe_load((runs / "road/sweep/best.yaml").read_text())
    assert told["tried"][told["best"] - 1]["values"].items() <= best["train"].items()  # null too: the model's own
    before = sorted(runs.iterdir())
    done = call("sweep", config, DEMO, runs, "--run", "typo", N="3")
    assert done.returncode == 2 and "no corpus has been prepared" in done.stderr
    assert sorted(runs.iterdir()) == before  # no place was taken


@pytest.mark.parametrize("stop", [{}, {"JOB": "train"}], ids=["all", "its training"])
def test_two_at_once_are_refused_and_a_stop_ends_the_whole(road, swept, stop):
    config, runs, _ = road
    first = subprocess.Popen(
        command("sweep", config, DEMO, runs, "--set", "train.epochs=3000", "--set", "train.patience=3000"),
        cwd=ROOT,
        env={**_env(), "N": "1"},
    )
    try:
        deadline = time.monotonic() + 60
        at_work = []
        while len(at_work) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
            at_work = [task for task in tasks_under(runs) if is_at_work(task)]
        assert [task["job"] for task in at_work] == ["sweep", "train"] and at_work[0]["unit"] == "trials"
        done = call("sweep", config, DEMO, runs, N=TRIALS)
        assert done.returncode == 2 and "sweep is already running for run road" in done.stderr
        # its trainings are part of it, so that it is the only job at work
        words = [sys.executable, "-m", "jobs.stop", "--runs", runs]
        done = subprocess.run(words, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True, env={**_env(), **stop})
        assert done.returncode == 0 and first.wait(60) == 75
        assert "make train" not in done.stderr
        assert stop or "this job alone: `make sweep RUN=road" in done.stderr
        [status] = read_status(runs / "road/sweep")
        assert status["state"] == "stopped" and not list(runs.rglob("STOP"))
    finally:
        first.kill()


def test_what_diverges_is_a_trial_that_went_wrong(road):
    config, runs, _ = road
    wild = "{learning_rate: {log: [1.0e+18, 1.0e+30]}}"
    done = call("sweep", config, DEMO, runs, "--set", f"sweep.space={wild}", "--set", "train.clip_norm=1.0e+30", N="2")
    assert done.returncode == 0, done.stderr
    told = result(runs)
    assert [one["state"] for one in told["tried"]] == ["diverged"] * 2 and told["best"] is None
    assert "sweep  trial 2 diverged: " in done.stderr and "<svg" not in (runs / "road/sweep/index.html").read_text()


def test_what_does_not_fit_is_a_trial_that_went_wrong_and_several_end_it(road):
    """With less memory than any training takes; what others need on a GPU is told in the same way."""
    config, runs, _ = road
    space = "{dropout: {uniform: [0.0, 0.1]}, rnn_hidden: {choice: [8, 12]}}"
    more = ("--set", f"sweep.space={space}", "--set", "runtime.memory_gb=0.1", "--set", "train.epochs=200",
            "--set", "train.patience=200", "--set", "runtime.heartbeat_s=0.2")  # fmt: skip
    done = call("sweep", config, DEMO, runs, *more, N="6")
    assert done.returncode == 2 and "more than its 100.0 MB" in done.stderr and "fix: raise" in done.stderr, done.stderr
    assert "sweep  trial 1 does not fit: " in done.stderr and "sweep  trial 2 does not fit: " in done.stderr
    assert "trial 4" not in done.stderr


def test_the_best_config_is_that_which_was_searched_though_its_file_changed(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extract: {mels: 64}\ntrain: {epochs: 20}\n")
    config = read_config(path, {})
    run = Run("mine", config, path, tmp_path, tmp_path / "runs", StopFlag())
    base = _base(run)
    path.write_text("extract: {mels: 48}\n")
    best = Tried(3, {"dropout": 0.1}, "done", 0.2, 20, 1.0)
    write_best(tmp_path / "best.yaml", base.given, base.run_with({**base.own, "dropout": 0.1}), best)
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {
        "extract": {"mels": 64}, "train": {"epochs": 20, "dropout": 0.1},
    }  # fmt: skip
