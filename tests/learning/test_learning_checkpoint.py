"""A checkpoint is the whole state, exact, and nothing in it can run."""

import json
import struct

import pytest
import torch
from feature_stages import feature_stage, silent, small_crnn, small_logistic, trainer
from safetensors import SafetensorError
from torch import nn

from app.learning.checkpoint import Progress, load_checkpoint, save_checkpoint
from app.models.crnn import Crnn

torch.set_num_threads(1)


def stepped(model: nn.Module, steps: int = 3) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.1)
    for _ in range(steps):
        step(model, optimizer)
    return optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A step along made-up gradients."""
    draw = torch.Generator().manual_seed(int(sum(p.numel() for p in model.parameters())))
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()


PROGRESS = Progress(step=41, epoch=3, best_score=0.1 + 0.2, best_epoch=2, loss_sum=1 / 3, seconds=12.5)


def test_weights_optimizer_and_progress_come_back_exactly(tmp_path):
    model, path = small_crnn(), tmp_path / "last.safetensors"
    optimizer = stepped(model)
    save_checkpoint(path, model, optimizer, PROGRESS)
    other = small_crnn(seed=1)
    optimizer_2 = torch.optim.AdamW(other.parameters(), 0.01, weight_decay=0.1)
    assert load_checkpoint(path, other, optimizer_2) == PROGRESS
    for _ in range(2):  # the same now, and after another step
        for name, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
        states = optimizer.state_dict()["state"], optimizer_2.state_dict()["state"]
        assert states[0].keys() == states[1].keys() == set(range(len(list(model.parameters()))))
        for number, state in states[0].items():
            for key, value in state.items():
                assert torch.equal(value, states[1][number][key]), (number, key)
        step(model, optimizer), step(other, optimizer_2)


def test_infinity_and_the_first_step_survive(tmp_path):
    model = small_logistic()
    save_checkpoint(tmp_path / "a", model, None, Progress())
    assert load_checkpoint(tmp_path / "a", model) == Progress(best_score=float("inf"))


def test_the_same_state_is_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        model = small_crnn()
        save_checkpoint(tmp_path / name, model, stepped(model), PROGRESS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_shape_or_model_are_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, small_crnn(), None, PROGRESS)
    for other in (Crnn(12, ("a", "b", "c"), (4, 9), 4, 0.2), Crnn(12, ("a", "b", "c"), (4,), 4, 0.2), small_logistic()):
        before = {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(ValueError, match=r"best.safetensors: not of this model"):
            load_checkpoint(path, other)
        assert before.keys() == other.state_dict().keys()


def test_no_file_and_a_torn_file_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors", small_crnn())
    save_checkpoint(tmp_path / "a", small_crnn(), None, PROGRESS)
    (tmp_path / "torn").write_bytes((tmp_path / "a").read_bytes()[:-100])
    with pytest.raises(SafetensorError):
        load_checkpoint(tmp_path / "torn", small_crnn())


def test_what_is_saved_is_a_table_of_numbers_and_a_line_of_json(tmp_path):
    """Read by hand: the header says where each tensor lies, the tensors fill the file, and no pickle is in between."""
    stage = feature_stage(tmp_path / "stage")
    trainer(stage, tmp_path / "model").run(silent, silent)
    for path in (tmp_path / "model").glob("*.safetensors"):
        content = path.read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        assert json.loads(header.pop("__metadata__")["progress"])["epoch"] > 0
        spans = sorted(entry["data_offsets"] for entry in header.values())
        assert {entry["dtype"] for entry in header.values()} == {"F32"}
        assert spans[0][0] == 0 and spans[-1][1] == len(content) - 8 - size
        assert all(before[1] == after[0] for before, after in zip(spans, spans[1:]))
    assert len(list((tmp_path / "model").glob("*.safetensors"))) == 2
    assert not [p for p in (tmp_path / "model").iterdir() if p.suffix in (".pt", ".pth", ".pkl", ".ckpt")]


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path, model = tmp_path / "last.safetensors", small_crnn()
    save_checkpoint(path, model, None, PROGRESS)
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("app.runtime.files.sync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, model, None, Progress())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
