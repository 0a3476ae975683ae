"""AUC attack by attack, against sklearn and what can be said by hand."""

import numpy as np
import pytest
from pytest import approx
from sklearn.metrics import roc_auc_score

from app.scoring.attacks import MACRO, attacks_of

RNG = np.random.default_rng(0)
COUNTS = {"a/1": 60, "a/2": 40, "b/1": 20, "c/1": 3}
APART = {"a/1": 2.0, "a/2": 2.0, "b/1": 0.5, "c/1": 9.0}


def clips(seed=0, reals=120):
    """Single voices: of engine a two, of b one that is hard, of c too few clips; real ones of six; and others."""
    rng = np.random.default_rng(seed)
    rows = []
    for attack, count in COUNTS.items():
        for n in range(count):
            rows.append(("fake", attack, "en" if n % 2 else "fr", attack, rng.normal(APART[attack])))
    for n in range(reals):
        rows.append(("real", None, ("en", "de")[n % 2], f"person {n % 6}", rng.normal()))
    rows += [("real+fake", "a/1", "en", "a/1+person 1", 9.0), ("none", None, None, None, -9.0)]
    state, attack, language, speaker, heard = (list(column) for column in zip(*rows, strict=True))
    p_fake = 1 / (1 + np.exp(-np.array(heard)))
    labels = np.array([["fake" in one, "real" in one] for one in state], float)
    return labels, np.stack([p_fake, 1 - p_fake], 1), state, attack, language, speaker


def test_each_engine_is_compared_with_all_real_voices_and_with_those_of_its_language():
    labels, scores, state, attack, language, _ = given = clips()
    a, b, mean = attacks_of(*given)
    assert [one.name for one in (a, b, mean)] == ["a", "b", MACRO] and (a.clips, b.clips, mean.clips) == (100, 20, 120)
    p, state, language = scores[:, 0], np.array(state), np.array([str(one) for one in language])
    for one in (a, b):
        mine = np.array([str(name).startswith(one.name) for name in attack]) & (state == "fake")
        pool = mine | (state == "real")
        assert one.auc == approx(roc_auc_score(mine[pool], p[pool]))
        pool &= language == "en"  # French has no real voice, German no fake one
        assert one.within == approx(roc_auc_score(mine[pool], p[pool]))
    assert mean.auc == approx((a.auc + b.auc) / 2) and mean.within == approx((a.within + b.within) / 2)
    assert a.auc > 0.85 > 0.75 > b.auc
    assert np.isnan([a.auc_range.low, mean.within_range.high]).all()  # nothing was drawn


def test_both_outputs_are_heard():
    labels, scores, *rest = clips()
    turned = scores.copy()
    turned[:, 0] = 0.5
    half = attacks_of(labels, turned, *rest)
    assert [one.auc for one in half] == approx([one.auc for one in attacks_of(labels, scores, *rest)])


def test_languages_are_weighted_by_their_pairs():
    labels = np.array([[1, 0]] * 6 + [[0, 1]] * 6, float)
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    language = ["en"] * 4 + ["fr"] * 2 + ["en"] * 3 + ["fr"] * 3
    found = attacks_of(
        labels, np.stack([p, 1 - p], 1), ["fake"] * 6 + ["real"] * 6, ["x"] * 6 + [None] * 6, language, [None] * 12
    )
    assert found[0].within == approx((12 * 1.0 + 6 * 0.0) / 18)


def test_intervals_draw_voices():
    """Each person has a level of their own: clips of one person say the same thing over and over."""
    rng, rows = np.random.default_rng(3), []
    for who in range(8):
        level = rng.normal(0, 1)
        rows += [("real", None, f"person {who}", level + rng.normal(0, 0.05)) for _ in range(50)]
    rows += [("fake", "x/1", f"x/{n % 4}", 1 + rng.normal(0, 1)) for n in range(100)]
    state, attack, speaker, heard = (list(column) for column in zip(*rows, strict=True))
    p = 1 / (1 + np.exp(-np.array(heard)))
    labels = np.array([[one == "fake", one == "real"] for one in state], float)
    told = labels, np.stack([p, 1 - p], 1), state, attack, [None] * len(p)
    by_voice = attacks_of(*told, speaker, 400, 1)[0]
    by_clip = attacks_of(*told, [str(n) for n in range(len(p))], 400, 1)[0]
    assert by_voice.auc == by_clip.auc and np.isnan(by_voice.within)
    wide, narrow = (one.auc_range.high - one.auc_range.low for one in (by_voice, by_clip))
    assert wide > 2 * narrow > 0 and by_voice.auc_range.low < by_voice.auc < by_voice.auc_range.high
    assert attacks_of(*told, speaker, 400, 1)[0].auc_range == by_voice.auc_range


def test_who_is_not_named_is_a_voice_of_their_own():
    *told, _ = clips()
    unnamed = attacks_of(*told, [None] * len(told[0]), 200, 2)
    assert all(np.isfinite([one.auc_range.low, one.auc_range.high]).all() for one in unnamed)


@pytest.mark.parametrize("missing", ["state", "attack"])
def test_without_states_or_attacks_there_is_nothing_to_say(missing):
    labels, scores, state, attack, language, speaker = clips()
    nothing = [None] * len(labels)
    given = (nothing, attack) if missing == "state" else (state, nothing)
    assert attacks_of(labels, scores, *given, language, speaker) == ()
