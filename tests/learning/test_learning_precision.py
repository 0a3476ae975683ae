"""Whatever numbers a training computes in, cut anywhere it ends as the unbroken one. On a CPU; a GPU has its own."""

import pytest
import torch
from feature_stages import CPU, feature_stage, how, silent, small_crnn, trainer
from safetensors.torch import load_file

from app import compat
from app.errors import Stopped, UserError
from app.learning.precision import Precision

torch.set_num_threads(1)
HALF = ["bfloat16", *(["float16"] if compat.grad_scaler(CPU) else [])]  # torch before 2.3 has no float16 on a CPU


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("keys", [{"precision": name} for name in (*HALF, "float64")] + [{"ema": 0.9}], ids=str)
def test_cut_at_any_step_it_ends_in_the_same_bytes(stage, tmp_path, keys):
    trainer(stage, tmp_path / "whole", how(**keys)).run(silent, silent)
    folder = tmp_path / "cut"
    while True:
        calls = iter(range(100))
        try:
            trainer(stage, folder, how(**keys)).run(lambda: next(calls) == 12, silent)
            break
        except Stopped:
            pass
    for name in ("last.safetensors", "best.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("name", HALF)
def test_half_precision_learns_as_float32_does(stage, tmp_path, name):
    found = []
    for precision in ("float32", name):
        one = trainer(stage, tmp_path / precision, how(epochs=4, precision=precision), dropout=0.0)
        one.run(silent, silent)
        found.append(one)
    full, half = found
    assert [p.dtype for p in half.learner.model.parameters()] == [torch.float32] * len(
        list(full.learner.model.parameters())
    )
    losses = [[row["train_loss"] for row in one.progress.history] for one in found]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], abs=0.02)
    assert half.progress.best_score == pytest.approx(full.progress.best_score, abs=0.05)


@pytest.mark.skipif("float16" not in HALF, reason="torch before 2.3 has no float16 on a CPU")
def test_a_loss_that_overflows_float16_skips_the_step_and_is_scaled_by_less(stage, tmp_path):
    one = trainer(stage, tmp_path / "model", how(precision="float16"))
    one.learner.precision.load({**one.learner.precision.state(), "scale": 2.0**120})
    one._learn_inputs(silent)
    before = {name: value.clone() for name, value in one.learner.model.state_dict().items()}
    batch, clips = next(one.supply.batches(0, 0))
    one._step(batch, clips, silent)
    assert all(torch.equal(value, before[name]) for name, value in one.learner.model.state_dict().items())
    assert one.learner.precision.state()["scale"] < 2.0**120


def test_the_average_lags_behind_the_weights_and_its_answers_count(stage, tmp_path):
    one = trainer(stage, tmp_path / "model", how(epochs=2, ema=0.95))
    seen, ends = [], {}

    def tell(progress, steps, metrics):
        average = one.learner.average.state_dict()
        if metrics:
            ends[progress.epoch] = {f"model.{name}": value.clone() for name, value in average.items()}
        else:
            seen.append([next(iter(m.parameters())).detach().clone() for m in (one.learner.model, one.learner.average)])

    one.run(silent, tell)
    by_hand = small_start()
    for step, (weights, average) in enumerate(seen):
        keep = min(0.95, (1 + step) / (10 + step))
        by_hand = keep * by_hand + (1 - keep) * weights
        torch.testing.assert_close(average, by_hand)
        assert not torch.equal(average, weights)
    best = load_file(tmp_path / "model" / "best.safetensors")
    assert best.keys() == ends[one.progress.best_epoch].keys()
    assert all(torch.equal(value, ends[one.progress.best_epoch][name]) for name, value in best.items())


def small_start() -> torch.Tensor:
    """The first parameter, as a training begins with it."""
    return next(iter(small_crnn().parameters())).detach().clone()


def test_what_a_device_cannot_do_is_told(monkeypatch):
    assert Precision("auto", CPU).name == "float32"
    monkeypatch.setattr("app.learning.precision.grad_scaler", lambda device: None)
    with pytest.raises(UserError, match="train.precision: float16 needs a GPU"):
        Precision("float16", CPU)
