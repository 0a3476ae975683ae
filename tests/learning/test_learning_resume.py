"""A training cut anywhere ends as the unbroken one."""

import json
from pathlib import Path

import pytest
import torch
from feature_stages import feature_stage, how, silent, trainer
from safetensors import safe_open

from app.errors import Stopped
from app.learning.loop import Trainer

torch.set_num_threads(1)
STEPS = 6  # in an epoch; three epochs


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
        assert progress.pop("seconds") >= 0
        return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118 - not a dict


def assert_the_same(folder: Path, unbroken: Path) -> None:
    (found, place), (expected, end) = checkpoint(folder / "last.safetensors"), checkpoint(unbroken / "last.safetensors")
    assert place == end and found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.dtype == found[name].dtype and torch.equal(value, found[name]), name
    for name in ("best.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name
    epochs = [json.loads(line)["epoch"] for line in (folder / "timing.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3]
    assert {path.name for path in folder.iterdir()} == {path.name for path in unbroken.iterdir()}  # no drafts


def cut_at(stage: Path, folder: Path, call: int) -> None:
    """Runs until `stop` is asked for the `call`-th time: after each step, and after each batch of validation."""
    calls = iter(range(1, call + 1))
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
    folder, cuts = tmp_path / "cut", 0
    while True:
        calls = iter(range(1, 100))
        try:
            trainer(stage, folder).run(lambda: next(calls) == every, silent)
            break
        except Stopped:
            cuts += 1
    assert cuts >= 3
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("save", [1, 2, 3])
def test_killed_between_metrics_and_checkpoint_no_line_is_doubled(stage, unbroken, tmp_path, save):
    class Dies(Trainer):
        saves = 0

        def _save(self):
            self.saves += 1
            if self.saves == save:
                raise Killed
            super()._save()

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        trainer(stage, folder, kind=Dies).run(silent, silent)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == save
    left = trainer(stage, folder)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == left.progress.epoch == save - 1
    left.run(silent, silent)
    assert_the_same(folder, unbroken)


TORN = '{"epoch": 2, "tr'


@pytest.mark.parametrize(("note", "torn"), [(1, ""), (1, TORN), (2, ""), (3, TORN), (4, TORN), (6, "")])
def test_killed_before_or_within_a_line_it_is_written_again(stage, unbroken, tmp_path, note, torn):
    class Dies(Trainer):
        notes = 0

        def _note(self, name, row):
            self.notes += 1
            if self.notes == note:
                with (self.folder / name).open("a") as file:
                    file.write(torn)
                raise Killed
            super()._note(name, row)

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        trainer(stage, folder, kind=Dies).run(silent, silent)
    trainer(stage, folder).run(silent, silent)
    assert_the_same(folder, unbroken)


@pytest.mark.parametrize("step", [1, 6, 14])
def test_killed_after_a_checkpoint_within_an_epoch_it_goes_on_from_there(stage, unbroken, tmp_path, step):
    class Dies(Trainer):
        def _step(self, batch):
            if self.progress.step == step:
                raise Killed
            super()._step(batch)

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        trainer(stage, folder, how(checkpoint_minutes=1e-9), kind=Dies).run(silent, silent)
    left = trainer(stage, folder)
    assert left.progress.step == step
    left.run(silent, silent)
    assert_the_same(folder, unbroken)


def test_a_training_killed_before_its_first_checkpoint_begins_anew(stage, unbroken, tmp_path):
    class Dies(Trainer):
        def _step(self, batch):
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


def test_the_seconds_of_all_pieces_are_counted(stage, tmp_path):
    folder, seconds = tmp_path / "cut", [0.0]
    for _ in range(3):
        cut_at(stage, folder, 2)
        with safe_open(folder / "last.safetensors", "pt") as file:
            seconds.append(json.loads(file.metadata()["progress"])["seconds"])
    assert all(before < after for before, after in zip(seconds, seconds[1:]))
