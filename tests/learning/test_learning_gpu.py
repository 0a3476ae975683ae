"""A GPU that is too small, or gone. None is here: a model that raises torch's own errors stands in for it."""

import numpy as np
import pytest
import torch
from feature_stages import CHANNELS, CPU, MELS, feature_stage, how, silent, small_crnn, trainer
from torch.nn import functional as F

from app.errors import Stopped, UserError
from app.features.at_once import AtOnce
from app.features.store import Features
from app.learning.checkpoint import progress_in
from app.learning.gradients import loss_with_gradients
from app.learning.lost import leaving_a_lost_gpu
from app.learning.predict import logits_of
from app.models.crnn import Crnn

torch.set_num_threads(1)
FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."
LOST = "CUDA error: unspecified launch failure"


class Small(Crnn):
    """Plays a model on a GPU with memory for `fits` clips, which after `steps` training batches falls off the bus."""

    fits, steps = 1000, 1000

    def forward(self, batch):
        if len(batch.targets) > self.fits:
            raise torch.cuda.OutOfMemoryError(FULL)
        self.steps -= self.training
        if self.steps < 0:
            raise RuntimeError(LOST)
        return super().forward(batch)


def small(fits: int = 1000, steps: int = 1000, dropout: float = 0.0) -> Small:
    torch.manual_seed(0)
    model = Small(MELS, CHANNELS, cnn_channels=(4, 8), rnn_hidden=8, dropout=dropout)
    model.fits, model.steps = fits, steps
    return model


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def batch(stage):
    return Features(stage, ("train",)).batch(np.arange(22))


@pytest.mark.parametrize(("fits", "left"), [(22, 22), (11, 11), (7, 5), (1, 1)])
def test_gradients_in_parts_are_those_of_the_whole_batch(batch, fits, left):
    whole, told = small_crnn(dropout=0.0), []
    room = AtOnce(22, "", told.append)
    F.binary_cross_entropy_with_logits(whole(batch), batch.targets).backward()
    model = small(fits)
    loss = loss_with_gradients(model, batch, room, seed=5)
    with torch.no_grad():
        assert loss == pytest.approx(float(F.binary_cross_entropy_with_logits(whole(batch), batch.targets)), rel=1e-6)
    for (name, ours), theirs in zip(model.named_parameters(), whole.parameters()):
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6 * scale, msg=name)
    assert room.clips == left and len(told) == {22: 0, 11: 1, 5: 2, 1: 4}[left]


def test_a_batch_that_fits_is_computed_as_one(batch):
    """Bit for bit: what happens to others changes no byte here."""
    whole, model = small_crnn(dropout=0.2), small(dropout=0.2)
    torch.manual_seed(5)
    F.binary_cross_entropy_with_logits(whole.train()(batch), batch.targets).backward()
    loss_with_gradients(model, batch, AtOnce(22), seed=5)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), whole.parameters()))


def test_a_training_on_a_small_gpu_says_so_and_ends_with_the_same_weights(stage, tmp_path):
    cfg, found, told = how(epochs=2, learning_rate=0.002), [], []
    for name, fits in (("large", 16), ("small", 5)):
        one = trainer(stage, tmp_path / name, cfg, model=small(fits), say=told.append)
        one.run(silent, silent)
        found.append(one)
    large, little = found
    assert little.progress.step == large.progress.step == 12  # the batch is the same
    assert little.room.clips == 4 and large.room.clips == 16
    assert told == [
        "a batch stays 16 clips, in parts: the GPU's memory is full: from now on 8 at once instead of 16 clips",
        "a batch stays 16 clips, in parts: the GPU's memory is full: from now on 4 at once instead of 8 clips",
        "validation: the GPU's memory is full: from now on 8 at once instead of 16 clips",
        "validation: the GPU's memory is full: from now on 4 at once instead of 8 clips",
    ]
    losses = [[row["train_loss"] for row in one.progress.history] for one in found]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for (name, ours), theirs in zip(little.learner.model.named_parameters(), large.learner.model.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4, msg=name)


def test_no_room_for_a_single_clip_is_the_users_to_mend(stage, tmp_path):
    with pytest.raises(UserError, match="no memory left for a single clip") as error:
        trainer(stage, tmp_path / "model", model=small(fits=0)).run(silent, silent)
    assert "DEVICE=cpu" in error.value.fix


def test_another_error_is_not_taken_for_it(batch):
    class Wrong(Small):
        def forward(self, batch):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = Wrong(MELS, CHANNELS, cnn_channels=(4, 8), rnn_hidden=8, dropout=0.0)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        loss_with_gradients(model, batch, AtOnce(22), seed=5)


def test_logits_of_a_small_gpu_are_those_of_a_large_one(stage):
    features, told = Features(stage, ("select",)), []
    expected = logits_of(small(), features, 48, CPU)
    room = AtOnce(48, "", told.append)
    for _ in range(2):  # it remembers
        assert logits_of(small(fits=7), features, room, CPU) == pytest.approx(expected, abs=1e-5)
    assert room.clips == 6 and len(told) == 3


def test_a_lost_gpu_saves_what_it_has_and_the_next_start_ends_as_an_unbroken_one(stage, tmp_path):
    trainer(stage, tmp_path / "unbroken", model=small(dropout=0.2)).run(silent, silent)
    folder = tmp_path / "lost"
    with pytest.raises(Stopped, match="the GPU was lost: CUDA error: unspecified launch failure"):
        trainer(stage, folder, model=small(steps=8, dropout=0.2)).run(silent, silent)
    assert progress_in(folder / "last.safetensors").step == 8
    trainer(stage, folder, model=small(dropout=0.2)).run(silent, silent)
    for name in ("last.safetensors", "best.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes(), name


def test_where_nothing_can_be_saved_any_more_the_last_checkpoint_counts(stage, tmp_path, monkeypatch):
    """Lost within the optimizer's step, when some weights have moved and others not."""
    training = trainer(stage, tmp_path / "lost", model=small())
    steps, real = iter(range(100)), training.learner.optimizer.step

    def half_a_step():
        if next(steps) == 8:
            with torch.no_grad():
                next(training.learner.model.parameters()).add_(1.0)
            raise RuntimeError(LOST)
        real()

    monkeypatch.setattr(training.learner.optimizer, "step", half_a_step)
    with pytest.raises(Stopped, match="the GPU was lost"):
        training.run(silent, silent)
    assert progress_in(tmp_path / "lost" / "last.safetensors").step == 6  # the end of the first epoch


def test_a_rescue_that_fails_too_is_no_traceback():
    def rescue():
        raise RuntimeError(LOST)

    with pytest.raises(Stopped, match="the GPU was lost"), leaving_a_lost_gpu(rescue):
        raise RuntimeError(LOST)
