import numpy as np
import pytest
import torch
from model_batches import CHANNELS, EXTRACT, batch_of, clip_of, model_of, with_garbage
from sklearn.linear_model import LogisticRegression

from app.models.pooled_logistic import STRENGTH, PooledLogistic


def pooled_and_targets(clips: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    pooled = rng.normal(3, 2, (clips, 3 * (EXTRACT.mels + len(CHANNELS))))
    targets = (pooled[:, :2] + rng.normal(0, 2, (clips, 2)) > 3).astype(np.float32)
    return torch.from_numpy(pooled.astype(np.float32)), torch.from_numpy(targets)


def test_fit_predicts_what_scikit_learn_predicts():
    pooled, targets = pooled_and_targets()
    model = PooledLogistic(EXTRACT.mels, CHANNELS)
    model.fit(pooled.clone(), targets)
    logits = model.linear((pooled - model.mean) / model.std).detach().numpy()
    x = pooled.double().numpy()
    scaled = (x - x.mean(0)) / x.std(0, ddof=1)
    for column in range(2):
        expected = LogisticRegression(C=STRENGTH, max_iter=2000).fit(scaled, targets[:, column].numpy())
        assert logits[:, column] == pytest.approx(expected.decision_function(scaled), abs=1e-4)


def test_pooled_numbers_are_mean_spread_and_mean_change_over_the_sound_frames():
    model = model_of("pooled_logistic")
    batch = with_garbage(batch_of(3), torch.tensor([61, 2, 30]))
    pooled = model.pooled(batch)
    for clip in range(3):
        mel, temporal, _ = model.inputs(clip_of(batch, clip))
        values = torch.cat([mel, temporal], 1)[0].numpy()
        expected = np.concatenate([values.mean(1), values.std(1), np.abs(np.diff(values)).mean(1)])
        assert pooled[clip].numpy() == pytest.approx(expected, abs=1e-5)


def test_a_number_that_never_changes_in_training_is_not_blown_up_later():
    pooled, targets = pooled_and_targets()
    pooled[:, 5] = 0.1
    model = PooledLogistic(EXTRACT.mels, CHANNELS)
    model.fit(pooled.clone(), targets)
    other = pooled.clone()
    other[:, 5] = 0.2
    logits, others = (model.linear((x - model.mean) / model.std) for x in (pooled, other))
    torch.testing.assert_close(others, logits, rtol=0, atol=1e-4)


def test_one_class_alone_is_an_error():
    pooled, targets = pooled_and_targets()
    targets[:, 1] = 1
    with pytest.raises(ValueError, match="class"):
        PooledLogistic(EXTRACT.mels, CHANNELS).fit(pooled, targets)
