"""From windows to logits to recordings, and calibrated."""

import numpy as np
import pytest
import torch
from feature_stages import CPU, feature_stage, small_crnn, small_logistic

from app.errors import Stopped
from app.features.store import Features
from app.learning.predict import logits_of
from app.learning.selection import select_metrics, targets_of
from app.scoring.calibration import NONE, apply_calibration, fit_temperature, negative_log_likelihood
from app.scoring.metrics import official_score

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return Features(feature_stage(tmp_path_factory.mktemp("stage")), ("select",))


@pytest.fixture(params=[small_crnn, small_logistic])
def model(request, features):
    model = request.param()
    model.learn(lambda: (batch for _, batch in features.batches(16)))
    return model


@pytest.mark.parametrize("size", [1, 7, 48, 100])
def test_logits_are_in_the_order_of_rows_and_those_of_each_window_alone(model, features, size):
    found = logits_of(model.train(), features, size, CPU)
    assert found.shape == (48, 2) and found.dtype == np.float64 and not model.training
    for number in (0, 1, 20, 47):
        with torch.no_grad():
            alone = model(features.batch(np.array([number])))[0]
        assert found[number] == pytest.approx(alone.numpy(), abs=1e-5)


def test_logits_of_nothing_are_none(model, features):
    empty = Features.__new__(Features)
    empty.rows = []
    assert logits_of(model, empty, 8, CPU).shape == (0, 2)


def test_between_batches_one_may_leave(model, features):
    calls = []

    def leave():
        calls.append(1)
        if len(calls) == 2:
            raise Stopped("SIGTERM")

    with pytest.raises(Stopped):
        logits_of(model, features, 10, CPU, between=leave)
    assert len(calls) == 2


def test_select_metrics_are_the_official_score_of_the_sigmoid_and_torchs_loss(features):
    logits = np.random.default_rng(0).normal(0, 2, (48, 2))
    targets = targets_of(features)
    assert targets.tolist() == [[row.fake, row.real] for row in features.rows]
    found, expected = select_metrics(logits, features), official_score(targets, 1 / (1 + np.exp(-logits)))
    assert (found["select_score"], found["select_auc"]) == (expected.score, expected.auc)
    assert (found["select_brier"], found["select_ece"]) == (expected.brier, expected.ece)
    likelihood = np.mean([negative_log_likelihood(logits[:, c], targets[:, c]) for c in (0, 1)])
    assert found["select_loss"] == pytest.approx(likelihood)


def test_a_batch_for_the_cpu_is_not_copied(features):
    batch = features.batch(np.arange(3))
    assert all(a is b for a, b in zip(batch.to(CPU)[:4], batch[:4]))


@pytest.mark.parametrize("too_sure", [2.0, 6.0])
def test_a_temperature_fitted_on_some_clips_helps_on_others(too_sure):
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 1.5, (1600, 2))
    labels = (rng.random((1600, 2)) < 1 / (1 + np.exp(-honest))).astype(float)
    logits, here, there = honest * too_sure, slice(0, 800), slice(800, None)
    temperature = fit_temperature(logits[here], labels[here])
    assert temperature == pytest.approx([too_sure] * 2, rel=0.2)
    for c in (0, 1):
        before, after, best = (
            negative_log_likelihood(values[there, c], labels[there, c])
            for values in (logits, logits / temperature, honest)
        )
        assert after < before - 0.05 and after == pytest.approx(best, abs=0.01)
    raw, calibrated = (
        official_score(labels[there], apply_calibration(logits[there], NONE._replace(slope=tuple(1 / np.asarray(t)))))
        for t in ([1.0, 1.0], temperature)
    )
    assert calibrated.auc == pytest.approx(raw.auc, abs=1e-3)  # only ties can move it
    assert calibrated.brier < raw.brier and calibrated.ece < raw.ece / 2 and calibrated.score < raw.score
