"""Shuffled labels give chance; a validation that knows the training labels does not."""

import numpy as np
import pytest
from feature_stages import feature_stage, small_logistic

from app.features.store import Features
from app.learning import chance
from app.learning.chance import auc_of_shuffled


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    stage = feature_stage(tmp_path_factory.mktemp("stage"))
    return Features(stage, ("train",)), Features(stage, ("select",))


def test_labels_as_they_are_are_learnt_and_shuffled_ones_are_not(halves):
    found = auc_of_shuffled(small_logistic(), *halves, shuffles=12, seed=1, batch_clips=16)
    assert [one.output for one in found] == ["fake", "real"]
    assert all(one.auc > 0.8 and one.far < 4 for one in found)
    assert all(0.3 < one.mean < 0.7 and 0 < one.error < 0.2 for one in found)
    assert auc_of_shuffled(small_logistic(), *halves, shuffles=12, seed=1, batch_clips=16) == found


def test_an_evaluation_that_fits_on_what_it_judges_is_found(halves, monkeypatch):
    """The leak that it is there for: the model is fitted on the clips that it is judged by, whatever their labels."""
    train, _ = halves
    shuffled = []

    class Leaking(type(small_logistic())):
        def fit(self, pooled, targets):
            shuffled.append(targets.numpy().astype(float))
            super().fit(pooled, targets)

    model = small_logistic()
    model.__class__ = Leaking
    monkeypatch.setattr(chance, "targets_of", lambda select: shuffled[-1] if shuffled else np.zeros((len(train), 2)))
    monkeypatch.setattr(chance, "auc_or_nan", lambda told, logits: _auc(shuffled[-1], logits))
    found = auc_of_shuffled(model, train, train, shuffles=12, seed=1, batch_clips=16)
    assert all(one.far > 4 and one.mean > 0.5 for one in found)


def _auc(labels, logits):
    from sklearn.metrics import roc_auc_score

    return max(roc_auc_score(labels[:, c], logits) for c in (0, 1))
