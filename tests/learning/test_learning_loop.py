"""A training learns, keeps its best epoch, stops when nothing gets better."""

import json

import numpy as np
import pytest
import torch
from feature_stages import CPU, FRAMES, MELS, feature_stage, how, silent, small_crnn, small_logistic, trainer
from safetensors.torch import load_file
from torch.nn import functional as F

from app.errors import Diverged, UserError
from app.features.batches import Batch
from app.features.store import Features
from app.learning import loop
from app.learning.checkpoint import load_checkpoint
from app.learning.fit import fit_in_closed_form
from app.learning.loop import learning_rate
from app.learning.predict import logits_of
from app.learning.selection import select_metrics
from app.learning.stripes import HIDDEN_FRAMES, HIDDEN_MELS, STRIPES, draw_stripes, hide_stripes

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return feature_stage(tmp_path_factory.mktemp("stage"))


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_labels_that_can_be_heard_are_learnt(stage, tmp_path):
    cfg = how(epochs=16, learning_rate=0.02, spec_augment=False)
    trainer(stage, tmp_path / "crnn", cfg, dropout=0.0).run(silent, silent)
    metrics = lines(tmp_path / "crnn")
    assert metrics[-1]["select_auc"] > 0.9 and metrics[-1]["train_loss"] < metrics[0]["train_loss"] / 2
    held_out, model = Features(stage, ("calibrate",)), small_crnn()
    load_checkpoint(tmp_path / "crnn" / "best.safetensors", model)
    assert select_metrics(logits_of(model, held_out, 16, CPU), held_out)["select_auc"] > 0.9


def test_the_baseline_learns_them_in_one_go_and_is_read_back_alike(stage, tmp_path):
    train, select = (Features(stage, (split,)) for split in ("train", "select"))
    found = []
    for size in (16, 90):
        folder = tmp_path / str(size)
        folder.mkdir()
        progress = fit_in_closed_form(folder, small_logistic(), train, select, size)
        assert (progress.epoch, progress.best_epoch) == (1, 1) and lines(folder)[0]["select_auc"] > 0.9
        fresh = small_logistic()
        assert load_checkpoint(folder / "best.safetensors", fresh).best_score == lines(folder)[0]["select_score"]
        found.append(logits_of(fresh, select, 7, CPU))
        assert select_metrics(found[-1], select)["select_auc"] == lines(folder)[0]["select_auc"]
    assert found[0] == pytest.approx(found[1], abs=1e-4)  # however the clips are batched


def scripted(monkeypatch, scores):
    scores = iter(scores)
    monkeypatch.setattr(loop, "select_metrics", lambda logits, select: {"select_score": next(scores)})


@pytest.mark.parametrize(
    ("scores", "best", "epochs"),
    [
        ([0.5, 0.4, 0.45, 0.3, 0.35, 0.36, 0.3, 0.1], 4, 7),  # a tie is not better
        ([0.5, 0.6, 0.7, 0.8, 0.1], 1, 4),
        ([0.5, 0.4, 0.45, 0.44, 0.3, 0.2, 0.1, 0.0], 8, 8),  # two in a row are not yet three
        ([0.9, 0.8, 0.8, 0.8, 0.8], 2, 5),
    ],
)
def test_the_lowest_score_is_kept_and_patience_ends_the_training(stage, tmp_path, monkeypatch, scores, best, epochs):
    scripted(monkeypatch, scores)
    weights = []

    def tell(progress, steps, metrics):
        if metrics:
            weights.append({name: value.clone() for name, value in training.learner.model.state_dict().items()})

    training = trainer(stage, tmp_path / "model", how(epochs=8, batch_clips=45, patience=3))
    training.run(silent, tell)
    assert len(lines(tmp_path / "model")) == training.progress.epoch == len(weights) == epochs
    assert training.progress.best_epoch == best and training.progress.best_score == min(scores[:epochs])
    kept = load_file(tmp_path / "model" / "best.safetensors")
    for epoch, state in enumerate(weights, start=1):
        same = all(torch.equal(kept[f"model.{name}"], value) for name, value in state.items())
        assert same == (epoch == best)


def test_patience_counts_across_a_resume(stage, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.6])
    trainer(stage, tmp_path / "model", how(epochs=2, batch_clips=45, patience=3)).run(silent, silent)
    scripted(monkeypatch, [0.7, 0.8, 0.1])
    resumed = trainer(stage, tmp_path / "model", how(epochs=8, batch_clips=45, patience=3))
    resumed.run(silent, silent)
    assert resumed.progress.epoch == 4 and resumed.progress.best_epoch == 1


def test_train_loss_is_the_mean_over_clips_though_the_last_batch_is_short(stage, tmp_path):
    cfg = how(epochs=1, batch_clips=32, learning_rate=1e-12, weight_decay=0.0, spec_augment=False)
    training = trainer(stage, tmp_path / "model", cfg, dropout=0.0)
    everything = training.train.batch(np.arange(90))
    training._learn_inputs(silent)
    with torch.no_grad():
        expected = F.binary_cross_entropy_with_logits(training.learner.model(everything), everything.targets)
    training.run(silent, silent)
    assert lines(tmp_path / "model")[0]["train_loss"] == pytest.approx(float(expected), abs=1e-6)


def test_weights_that_the_last_step_of_an_epoch_broke_are_not_kept(stage, tmp_path):
    training = trainer(stage, tmp_path / "model", how(batch_clips=90, learning_rate=1e30))
    with pytest.raises(Diverged, match="its answers are no numbers at step 1"):
        training.run(silent, silent)
    assert np.isfinite(training.progress.loss_sum)  # that of the weights before
    assert not list((tmp_path / "model").glob("*.safetensors"))


def test_an_error_of_the_user_within_a_step_loses_no_step_before(stage, tmp_path):
    seen = []

    def heed():
        seen.append(training.progress.step)
        if seen.count(2) == 2:  # after the second step, and once more within the third
            raise UserError("too much memory", "less of it")

    training = trainer(stage, tmp_path / "model")
    training.room.clips = 4  # in parts, between which it is heard
    with pytest.raises(UserError, match="too much memory"):
        training.run(silent, silent, between=heed)
    assert trainer(stage, tmp_path / "model").progress.step == 2


def test_an_epoch_sees_every_clip_once_in_an_order_of_its_own(stage, tmp_path):
    training = trainer(stage, tmp_path / "model")
    whole = training.train.batch(np.arange(90)).mel.sum((1, 2))
    orders = []
    for epoch in (0, 1):
        seen = torch.cat([batch.mel.sum((1, 2)) for batch, _ in training.supply.batches(epoch, 0)])
        assert torch.equal(seen.sort().values, whole.sort().values)
        orders.append(seen)
    assert not torch.equal(*orders)


def test_the_calls_of_tell_are_one_a_step_and_one_an_epoch(stage, tmp_path):
    told = []
    trainer(stage, tmp_path / "model", how(epochs=2)).run(
        silent, lambda progress, steps, metrics: told.append((progress.step, steps, metrics and metrics["epoch"]))
    )
    expected = [(n, 6, None) for n in range(1, 7)] + [(6, 6, 1)]
    assert told == expected + [(n + 6, 6, None) for n in range(1, 7)] + [(12, 6, 2)]


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 57, 3500])
def test_the_rate_rises_then_falls_and_is_never_0(steps):
    rates = [learning_rate(step, steps, 0.002) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.002) and min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= 0.1 * steps + 1
    if steps > 100:
        assert rates[0] < 0.00001 and rates[-1] == pytest.approx(0.00002)


def full_batch(clips=6, mels=64, frames=300, seed=0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    mel = torch.randn(clips, mels, frames, generator=draw) * 10 - 40
    return Batch(mel, torch.randn(clips, 3, frames, generator=draw), torch.full((clips,), frames), torch.ones(clips, 2))


def striped(batch: Batch, seed: int) -> Batch:
    drawn = draw_stripes(*batch.mel.shape, np.random.default_rng(seed))
    return hide_stripes(batch, torch.from_numpy(drawn))


@pytest.mark.parametrize("seed", range(10))
def test_stripes_hide_no_more_than_they_may_and_show_the_mean(seed):
    batch = full_batch()
    shown = striped(batch, seed)
    assert shown.temporal is batch.temporal and shown.targets is batch.targets and shown.frames is batch.frames
    hidden = shown.mel != batch.mel
    columns, bands = hidden.all(1).sum(-1), hidden.all(2).sum(-1)
    assert (columns <= STRIPES * HIDDEN_FRAMES).all() and (bands <= STRIPES * HIDDEN_MELS).all()
    assert columns.sum() > 0 and bands.sum() > 0
    left = hidden & ~hidden.all(1, keepdim=True) & ~hidden.all(2, keepdim=True)
    assert not left.any()  # whole stripes only
    for clip in range(6):
        values = shown.mel[clip][hidden[clip]]
        torch.testing.assert_close(values, batch.mel[clip].mean().expand_as(values))
    assert not torch.equal(hidden[0], hidden[1])  # each clip has its own


def test_stripes_are_drawn_from_the_generator_alone():
    batch, before = full_batch(), full_batch().mel
    first, second, other = (striped(batch, seed).mel for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other) and torch.equal(batch.mel, before)


def test_the_mean_that_stripes_show_leaves_out_the_padding():
    batch = full_batch(clips=1)._replace(frames=torch.tensor([100]))
    batch.mel[..., 100:] = -100.0
    values = torch.cat([striped(batch, n).mel[batch.mel != -100.0] for n in range(20)])
    changed = values[values != batch.mel[batch.mel != -100.0].repeat(20)]
    torch.testing.assert_close(changed, batch.mel[..., :100].mean().expand_as(changed))


def test_stripes_fit_maps_smaller_than_themselves():
    batch = full_batch(clips=3, mels=MELS // 3, frames=FRAMES // 8)
    assert striped(batch, 0).mel.shape == batch.mel.shape
