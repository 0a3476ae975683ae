"""A training cut anywhere ends as the unbroken one."""

import json
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from feature_stages import feature_stage, how, silent, trainer
from safetensors import safe_open

from app.errors import Stopped
from app.learning import keeping
from app.learning.loop import Trainer
from app.learning.timing import training_seconds
from app.models.crnn import Crnn

torch.set_num_threads(1)
STEPS = 6  # in an epoch; three epochs
LEARNING = 2 * STEPS  # batches from which a trainer learns the mean and spread of its inputs, in two passes
FILES = ("last.safetensors", "best.safetensors", "metrics.jsonl")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def unbroken(stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    trainer(stage, folder).run(silent, silent)
    return folder


def checkpoint(path: Path) -> tuple[dict, dict]:
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
        return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118 - not a dict


def assert_the_same(folder: Path, unbroken: Path) -> None:
    """Every byte of every file, but the times."""
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in unbroken.iterdir()} == {*FILES, "timing.jsonl"}  # no drafts
    for name in FILES:
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name
    epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3]


def learning(folder: Path) -> int:
    """Batches of which a trainer will learn its inputs before its first step here."""
    return 0 if (folder / "last.safetensors").exists() else LEARNING


def cut_at(stage: Path, folder: Path, call: int) -> None:
    """Runs until `stop` is asked for the `call`-th time: after each step, and after each batch of validation.

    A training that begins asks after each batch of learning its inputs as well; those are not counted.
    """
    calls = iter(range(1 - learning(folder), call + 1))
    with pytest.raises(Stopped, match="SIGTERM"):
        trainer(stage, folder).run(lambda: "SIGTERM" if next(calls) == call else None, silent)


class Killed(BaseException):
    pass


def test_two_unbroken_trainings_are_the_same(stage, unbroken, tmp_path):
    trainer(stage, tmp_path / "again").run(silent, silent)
    assert_the_same(tmp_path / "again", unbroken)
    assert checkpoint(unbroken / "last.safetensors")[1]["step"] == 3 * STEPS


CALLS = STEPS + 3  # of stop in an epoch: 48 clips of select make three batches


@pytest.mark.parametrize(
    "call", [1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 18, 19, 24, 25, 27]
)  # 6, 15, 24 end an epoch's steps
def test_a_training_stopped_anywhere_ends_as_the_unbroken_one(stage, unbroken, tmp_path, call):
    folder = tmp_path / "cut"
    cut_at(stage, folder, call)
    step = (call - 1) // CALLS * STEPS + min((call - 1) % CALLS + 1, STEPS)
    assert checkpoint(folder / "last.safetensors")[1]["step"] == step
    trainer(stage, folder).run(silent, silent)
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("every", [4, 5, 7])
def test_a_training_stopped_many_times_ends_as_the_unbroken_one(stage, unbroken, tmp_path, every):
    folder = tmp_path / "cut"
    for cuts in range(3 * CALLS):
        calls = iter(range(1 - learning(folder), 100))
        try:
            trainer(stage, folder).run(lambda: next(calls) == every, silent)
            break
        except Stopped:
            pass
    assert cuts >= 3
    assert_the_same(folder, unbroken)


def dies_at(monkeypatch, where: str, call: int) -> None:
    """The `call`-th call of keeping.WHERE is the last one: as kill -9 there, but for files that only a process has."""
    calls, real = iter(range(1, 1000)), getattr(keeping, where)

    def dies(*args):
        if next(calls) == call:
            raise Killed
        return real(*args)

    monkeypatch.setattr(keeping, where, dies)


@pytest.mark.parametrize("save", [1, 2, 3, 4])  # the last one is that of best.safetensors
def test_killed_before_a_checkpoint_it_goes_on_from_the_one_before(stage, unbroken, tmp_path, monkeypatch, save):
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        dies_at(patch, "save_checkpoint", save)
        trainer(stage, folder).run(silent, silent)
    left = trainer(stage, folder)
    assert left.progress.epoch == save - 1 and not (folder / "best.safetensors").exists()
    left.run(silent, silent)
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_killed_between_checkpoint_and_metrics_no_line_is_lost(stage, unbroken, tmp_path, monkeypatch, write):
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        dies_at(patch, "write_atomic", write)
        trainer(stage, folder).run(silent, silent)
    assert trainer(stage, folder).progress.epoch == write
    lines = (folder / "metrics.jsonl").read_text().splitlines() if write > 1 else []
    assert len(lines) == write - 1
    calls = iter(range(100))
    with pytest.raises(Stopped) if write < 3 else nullcontext():  # told at once that they are behind
        trainer(stage, folder).run(lambda: next(calls) == 0, silent)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == write
    trainer(stage, folder).run(silent, silent)
    assert_the_same(folder, unbroken)


def test_metrics_written_by_another_hand_are_written_again(stage, unbroken, tmp_path):
    folder = tmp_path / "cut"
    cut_at(stage, folder, 14)
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "tr')
    trainer(stage, folder).run(silent, silent)
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("step", [1, 6, 14])
def test_killed_after_a_checkpoint_within_an_epoch_it_goes_on_from_there(stage, unbroken, tmp_path, step):
    class Dies(Trainer):
        def _step(self, *what):
            if self.progress.step == step:
                raise Killed
            super()._step(*what)

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        trainer(stage, folder, how(checkpoint_minutes=1e-9), kind=Dies).run(silent, silent)
    left = trainer(stage, folder)
    assert left.progress.step == step
    left.run(silent, silent)
    assert_the_same(folder, unbroken)


def test_a_training_killed_before_its_first_checkpoint_begins_anew(stage, unbroken, tmp_path):
    class Dies(Trainer):
        def _step(self, *what):
            raise Killed

    with pytest.raises(Killed):
        trainer(stage, tmp_path / "killed", kind=Dies).run(silent, silent)
    assert not list((tmp_path / "killed").iterdir())
    trainer(stage, tmp_path / "killed").run(silent, silent)
    assert_the_same(tmp_path / "killed", unbroken)


def test_a_finished_training_stays_as_it_is(stage, tmp_path):
    trainer(stage, tmp_path / "done").run(silent, silent)
    before = {path.name: path.read_bytes() for path in (tmp_path / "done").iterdir()}
    again = trainer(stage, tmp_path / "done")
    assert again.finished
    again.run(lambda: pytest.fail("there is nothing to do"), silent)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "done").iterdir()}


def test_the_seconds_of_all_pieces_are_counted_beside_the_results(stage, tmp_path):
    folder, seconds = tmp_path / "cut", [0.0]
    for _ in range(3):
        cut_at(stage, folder, 2)
        seconds.append(training_seconds(folder))
    assert all(before < after for before, after in zip(seconds, seconds[1:]))
    with (folder / "timing.jsonl").open("a") as file:
        file.write('{"epoch": 1, "sec')  # torn by a kill
    assert training_seconds(folder) == seconds[-1] and training_seconds(tmp_path) == 0.0


def test_a_between_that_raises_is_let_pass_after_a_save(stage, unbroken, tmp_path):
    """It is called in learning the inputs, after each step and each batch of validation: 12 + 3 * (6 + 3) times."""
    folder, calls, saves = tmp_path / "cut", [], []

    @contextmanager
    def saving():
        saves.append(len(calls))
        yield

    for last in (3, LEARNING + 4, 2 + 2):  # in learning, where nothing is there to save; after step 4; in validation
        calls.clear()

        def between():
            calls.append(1)
            if len(calls) == last:
                raise Stopped("the job was told")

        with pytest.raises(Stopped, match="the job was told"):
            trainer(stage, folder, saving=saving).run(silent, silent, between)
    assert saves == [LEARNING + 4, 4]
    place = checkpoint(folder / "last.safetensors")[1]
    assert (place["step"], place["epoch"]) == (6, 0)
    calls.clear()
    trainer(stage, folder, saving=saving).run(silent, silent, lambda: calls.append(1))
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("call", [LEARNING + 1, LEARNING + 3, LEARNING + 6, LEARNING + 8])
def test_a_slow_model_leaves_in_the_midst_of_a_step_and_ends_as_the_unbroken_one(stage, tmp_path, monkeypatch, call):
    """Its batches go through a CPU in parts of a few clips, between which it is asked; half a step is none."""
    monkeypatch.setattr(Crnn, "clips_at_once", 5, raising=False)
    trainer(stage, tmp_path / "whole").run(silent, silent)
    calls = iter(range(1, call + 1))
    one = trainer(stage, tmp_path / "cut")
    with pytest.raises(Stopped, match="SIGTERM"):
        one.run(lambda: "SIGTERM" if next(calls) == call else None, silent)
    assert one.progress.step == (call - LEARNING) // 4  # three looks within 16 clips, and one after
    trainer(stage, tmp_path / "cut").run(silent, silent)
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
