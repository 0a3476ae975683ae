"""Thresholds keep to what they were chosen by, and their faults elsewhere are counted."""

import numpy as np
import pytest
from pytest import approx

from app.scoring.decisions import Threshold, decisions, from_json, thresholds_of
from app.scoring.roc import eer


def clips(count=4000, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 2))
    scores = 1 / (1 + np.exp(-(rng.normal(0, 1, (count, 2)) + (2 * labels - 1) * [1.0, 0.5])))
    return labels, scores


def test_each_keeps_to_its_rule_on_the_clips_it_was_chosen_on():
    labels, scores = clips()
    found = {
        (d.threshold.column, d.threshold.rule): d for d in decisions(labels, scores, thresholds_of(labels, scores))
    }
    assert len(found) == 6
    for c, column in enumerate(("fake", "real")):
        rate, _ = eer(labels[:, c], scores[:, c])
        at = found[column, "EER"]
        assert at.false_alarms == approx(rate, abs=0.002) and 1 - at.hits == approx(rate, abs=0.002)
        for most in (0.01, 0.05):
            at = found[column, f"{most:.0%} false alarms"]
            assert most - 0.001 < at.false_alarms <= most
            lower = Threshold(column, "", at.threshold.p - 0.003)  # any lower, and it does not
            assert decisions(labels, scores, [lower])[0].false_alarms > most


def test_on_other_clips_of_the_kind_they_do_about_as_well():
    chosen = thresholds_of(*clips(seed=1))
    for here, there in zip(decisions(*clips(seed=1), chosen), decisions(*clips(seed=2), chosen), strict=True):
        assert there.false_alarms == approx(here.false_alarms, abs=0.02) and there.hits == approx(here.hits, abs=0.04)


def test_few_clips_allow_no_false_alarm_at_all():
    labels = np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
    scores = np.array([[0.9, 0.8], [0.1, 0.3], [0.8, 0.9], [0.7, 0.1]])  # the surest fake is none
    found = {
        (d.threshold.column, d.threshold.rule): d for d in decisions(labels, scores, thresholds_of(labels, scores))
    }
    assert (found["fake", "1% false alarms"].hits, found["fake", "1% false alarms"].false_alarms) == (0.0, 0.0)
    assert (found["real", "5% false alarms"].hits, found["real", "5% false alarms"].false_alarms) == (1.0, 0.0)


def test_a_column_with_one_class_has_no_threshold_and_where_none_is_needed_none_is_counted():
    labels, scores = clips(50)
    labels[:, 0] = 1
    chosen = thresholds_of(labels, scores)
    assert {threshold.column for threshold in chosen} == {"real"}
    fake = Threshold("fake", "EER", 0.5)
    (found,) = decisions(labels, scores, [fake])
    assert np.isnan(found.false_alarms) and 0 < found.hits < 1
    assert from_json([fake._asdict()]) == [fake]
    with pytest.raises(ValueError):
        thresholds_of(labels, scores + 1)
