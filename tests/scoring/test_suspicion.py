"""A warning where validation looks too good, and none where it is merely good."""

import numpy as np
import pytest

from app.scoring.metrics import official_score
from app.scoring.suspicion import too_good


def score_of(noise: float, clips: int = 400):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (clips, 2)).astype(float)
    logits = 2 * (2 * labels - 1) + rng.normal(0, noise, labels.shape)
    return official_score(labels, 1 / (1 + np.exp(-logits)))


def test_what_nobody_reaches_on_voices_never_heard_is_doubted():
    nearly = score_of(0.8)
    assert nearly.fake_auc > 0.995
    told = too_good("crnn", nearly, 400)
    assert f"fake {nearly.fake_auc:.3f}" in told and "400 clips" in told and "make leaks" in told and "audit" in told


@pytest.mark.parametrize(("model", "doubted"), [("pooled_logistic", True), ("pooled_boosting", True), ("crnn", False)])
def test_of_statistics_alone_less_is_expected(model, doubted):
    good = score_of(1.2)
    assert min(good.fake_auc, good.real_auc) > 0.97 and max(good.fake_auc, good.real_auc) < 0.995
    assert bool(too_good(model, good, 400)) is doubted


def test_a_few_right_answers_say_nothing():
    assert not too_good("crnn", score_of(0.1, clips=40), 40)
    assert not too_good("pooled_logistic", score_of(3.0), 400)
