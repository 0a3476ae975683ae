"""A checkpoint is the whole state, exact, and nothing in it can run."""

import json
import struct

import pytest
import torch
from feature_stages import feature_stage, silent, small_crnn, small_logistic, trainer
from safetensors.torch import save_file
from torch import nn

from app.errors import UserError
from app.learning.checkpoint import Progress, load_checkpoint, load_training, progress_in, save_checkpoint
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


HISTORY = [{"epoch": n, "train_loss": 1 / n, "select_score": 0.1 * n} for n in (1, 2, 3)]
PROGRESS = Progress(step=41, epoch=3, best_score=0.1 + 0.2, best_epoch=2, loss_sum=1 / 3, history=HISTORY)


def test_weights_optimizer_and_progress_come_back_exactly(tmp_path):
    model, path = small_crnn(), tmp_path / "last.safetensors"
    optimizer = stepped(model)
    best = small_crnn(seed=2).state_dict()
    save_checkpoint(path, model, optimizer, PROGRESS, best)
    other = small_crnn(seed=1)
    optimizer_2 = torch.optim.AdamW(other.parameters(), 0.01, weight_decay=0.1)
    progress, best_2 = load_training(path, other, optimizer_2)
    assert progress == PROGRESS == progress_in(path)
    assert best.keys() == best_2.keys() and all(torch.equal(best[name], best_2[name]) for name in best)
    for _ in range(2):  # the same now, and after another step
        for name, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
        states = optimizer.state_dict()["state"], optimizer_2.state_dict()["state"]
        assert states[0].keys() == states[1].keys() == set(range(len(list(model.parameters()))))
        for number, state in states[0].items():
            for key, value in state.items():
                assert torch.equal(value, states[1][number][key]), (number, key)
        step(model, optimizer), step(other, optimizer_2)


def test_moments_lie_in_memory_as_their_parameters_do(tmp_path):
    """A GPU's AdamW, one kernel for all, refuses others; models lie channels last there."""
    model, path = small_crnn().to(memory_format=torch.channels_last), tmp_path / "last.safetensors"
    optimizer = stepped(model)
    best = {name: value.clone() for name, value in model.state_dict().items()}
    save_checkpoint(path, model, optimizer, PROGRESS, best=best)
    other = small_crnn(seed=1).to(memory_format=torch.channels_last)
    again = torch.optim.AdamW(other.parameters())
    load_training(path, other, again)
    layouts = [
        {p.stride(), *(value.stride() for value in again.state[p].values() if value.shape == p.shape)}
        for p in other.parameters()
    ]
    assert all(len(layout) == 1 for layout in layouts)
    assert any(not p.is_contiguous() for p in other.parameters())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        names = ("exp_avg", "exp_avg_sq", "step")
        assert all(torch.equal(optimizer.state[one][name], again.state[two][name]) for name in names)


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
        with pytest.raises(UserError, match=r"best.safetensors: not of this model"):
            load_checkpoint(path, other)
        assert before.keys() == other.state_dict().keys()


def test_no_file_is_an_error_for_who_asks_for_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors", small_crnn())
    assert progress_in(tmp_path / "none.safetensors") is None


def torn(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def of_another_program(path):
    save_file({"weight": torch.zeros(3)}, path)


def a_text(path):
    path.write_text("no checkpoint at all, but long enough to hold a header")


def of_weights_alone(path):
    save_checkpoint(path, small_crnn(), None, PROGRESS)


def without_its_best(path):
    model = small_crnn()
    save_checkpoint(path, model, stepped(model), PROGRESS)


def without_its_history(path):
    model = small_crnn()
    save_checkpoint(path, model, stepped(model), Progress(41, 3, 0.3, 2), small_crnn(seed=2).state_dict())


BROKEN = [torn, emptied, of_another_program, a_text, of_weights_alone, without_its_best, without_its_history]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_checkpoint_that_no_training_can_go_on_from_is_told_with_file_and_remedy(tmp_path, broken):
    path, model = tmp_path / "last.safetensors", small_crnn()
    optimizer = stepped(model)
    save_checkpoint(path, model, optimizer, PROGRESS, small_crnn(seed=2).state_dict())
    broken(path)
    with pytest.raises(UserError, match=r"last.safetensors: ") as error:
        load_training(path, model, optimizer)
    assert "delete last.safetensors" in error.value.fix and "begins anew" in error.value.fix


def test_a_torn_file_of_weights_is_told_likewise(tmp_path):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, small_crnn(), None, PROGRESS)
    torn(path)
    with pytest.raises(UserError, match=r"best.safetensors: damaged") as error:
        load_checkpoint(path, small_crnn())
    assert "make train" in error.value.fix


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
