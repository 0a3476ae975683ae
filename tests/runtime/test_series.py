"""A job of several parts is seen, refused a second time, and stopped; its waiting for a GPU too."""

import time
from contextlib import contextmanager

import pytest

from app.config import Config
from app.errors import Pruned, Stopped, UserError
from app.runtime import series as series_module
from app.runtime.desk import Desk, at_work
from app.runtime.gpus import TakenGpus
from app.runtime.place import placed
from app.runtime.run import Run
from app.runtime.series import in_series
from app.runtime.status import Status, read_status
from app.runtime.stop import StopFlag
from jobs.status import is_at_work, tasks_under


@pytest.fixture
def run(tmp_path):
    settings = {"runtime": {"heartbeat_s": 0.05, "yield_to_others": False}}
    return Run("demo", Config.model_validate(settings), tmp_path / "x.yaml", tmp_path, tmp_path / "runs", StopFlag())


def status(run):
    [found] = read_status(run.folder / "sweep")
    return found


def test_it_tells_its_parts_and_the_time_that_is_left(run):
    with in_series(run, "sweep", "trials") as series:
        series.at(3, 20, left_s=60.0)
        time.sleep(0.2)
        known = status(run)
        assert (known["state"], known["done"], known["total"], known["unit"]) == ("running", 3, 20, "trials")
        assert 50 < known["eta_s"] <= 60
        with at_work(Desk(run, run.folder / "models" / "crnn-1", "train", "train crnn")):
            time.sleep(0.1)
            assert [task["job"] for task in tasks_under(run.runs) if is_at_work(task)] == ["sweep", "train"]
        series.say("trial 4 diverged")
    assert status(run)["state"] == "done" and run.said == ["sweep  trial 4 diverged"]
    assert (run.folder / "logs/sweep.log").read_text().endswith(" sweep  trial 4 diverged\n")  # for `make logs`


def test_a_second_one_is_refused_and_told_of_the_first(run):
    with in_series(run, "sweep", "trials") as series:
        series.at(3, 20)
        time.sleep(0.2)
        with pytest.raises(UserError, match="sweep is already running for run demo .*: 3 of 20 trials done") as told:
            in_series(run, "sweep", "trials").__enter__()
        assert "make stop JOB=sweep RUN=demo" in told.value.fix


def test_the_first_is_told_apart_from_those_that_were_here_before(run):
    """Their status may lie beside it, where a disk had no locks; its own comes a moment after its lock."""
    old = Status(run.folder / "sweep", "sweep", "aaa")
    old.update(label="sweep", run="demo", total=20, done=20, unit="trials")
    old.start(60.0, dict)
    old.end("done")
    with in_series(run, "sweep", "trials") as series:
        series.at(3, 20)
        time.sleep(0.2)
        with pytest.raises(UserError, match=": 3 of 20 trials done"):
            in_series(run, "sweep", "trials").__enter__()
    mine = Status(run.folder / "sweep", "sweep")
    mine.update(label="sweep", run="demo")
    with (
        placed(run, run.folder / "sweep", mine, print),
        pytest.raises(UserError, match="already running: somebody holds .*lock"),
    ):
        in_series(run, "sweep", "trials").__enter__()


def test_a_stop_file_in_its_folder_ends_the_part_at_work(run):
    with pytest.raises(Stopped), in_series(run, "sweep", "trials"):
        (run.folder / "sweep/STOP").touch()
        with at_work(Desk(run, run.folder / "models" / "crnn-1", "train", "train crnn")):
            pytest.fail("it began")
    assert status(run)["state"] == "stopped" and not (run.folder / "sweep/STOP").exists()


def test_a_part_that_was_given_up_is_done(run):
    desk = Desk(run, run.folder / "models" / "crnn-1", "train", "train crnn")
    with pytest.raises(Pruned), at_work(desk):
        raise Pruned("pruned: .3 so far")
    [found] = read_status(desk.folder)
    assert (found["state"], found["note"]) == ("done", "pruned: .3 so far")


def test_waiting_for_a_gpu_is_seen(run, monkeypatch):
    """The GPUs and those who hold them are made up: there are none here."""
    seen = []

    @contextmanager
    def busy(runs, job, settings, *, wait_state, say, leave):
        wait_state("all 2 GPUs are held", time.time())
        time.sleep(0.2)
        seen.append(status(run))
        wait_state("", time.time())
        yield TakenGpus([])

    monkeypatch.setattr(series_module, "taken_gpus", busy)
    with run.leaving, in_series(run, "sweep", "trials") as series:
        series.take_gpus()
        time.sleep(0.2)
        seen.append(status(run))
        assert run.gpus is not None
    assert [known["state"] for known in seen] == ["waiting for GPU", "running"]
    assert seen[0]["note"].startswith("all 2 GPUs are held (since ") and seen[1]["note"] == ""
