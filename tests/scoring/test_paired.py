import numpy as np
import pytest

from app.scoring.bootstrap import interval_of
from app.scoring.compared import Comparison, Heard, verdict, write_comparison
from app.scoring.draws import mean_draws
from app.scoring.metrics import official_score
from app.scoring.paired import FEWEST, paired
from app.scoring.scored import Scored
from tests.scoring.test_report import HOSTILE, Page


def of(rng, labels, spread, name="select", clips=None) -> Scored:
    """Answers as good as `spread` is small."""
    logits = 2 * (labels - 0.5) + rng.normal(0, spread, labels.shape)
    codec = [("none", "opus")[n % 2] for n in range(len(labels))]
    state = [{(0, 0): "none", (1, 0): "fake", (0, 1): "real", (1, 1): "real_fake"}[tuple(y)] for y in labels.tolist()]
    return Scored(
        name, clips or [f"{HOSTILE}{n}" for n in range(len(labels))], labels.astype(float), 1 / (1 + np.exp(-logits)),
        None, {"codec": codec, "state": state, "rare": ["few" if n < 5 else "many" for n in range(len(labels))]},
    )  # fmt: skip


def test_a_model_beside_itself_differs_in_nothing():
    rng = np.random.default_rng(0)
    one = of(rng, rng.integers(0, 2, (200, 2)), 1.0)
    found = paired(one, one, 100, 0)
    assert found.score.value == 0 and found.score.interval == (0, 0) and not found.score.is_clear
    assert found.changed == () and all(not d.is_clear and d.value == 0 for d in found.wrong)


def test_a_better_model_is_seen_where_it_is_better():
    """The second hears as well as the first, but for clips that went through opus."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (600, 2))
    first = of(rng, labels, 2.0)
    scores = first.scores.copy()
    scores[1::2] = of(rng, labels, 0.5).scores[1::2]
    second = Scored("select", first.clips, labels, scores, None, first.details)
    found = paired(first, second, 300, 0)
    assert found.score.value < -0.03 and found.score.is_clear
    assert found.score.first == pytest.approx(official_score(labels, first.scores).score)
    groups = {group.name: group for group in dict(found.groups)["codec"]}
    assert groups["opus"].brier.is_clear and groups["opus"].brier.value < 0 and groups["opus"].score.is_clear
    assert groups["none"].brier.value == 0 and not groups["none"].brier.is_clear
    states = {group.name: group for group in dict(found.groups)["state"]}
    assert set(states) == {"none", "real", "fake", "real+fake"} and all(g.score is None for g in states.values())
    few = {group.name: group for group in dict(found.groups)["rare"]}["few"]
    assert few.brier.clips == 5 < FEWEST and np.isnan(few.brier.interval).all() and not few.brier.is_clear
    assert "is better by" in verdict(found.score, "b") and "cannot tell" not in verdict(found.score, "b")


def test_of_two_equal_models_one_is_called_better_in_one_of_twenty():
    """By the interval of a mean, that of wrong decisions here; 200 pairs of models on 150 clips."""
    rng, called = np.random.default_rng(2), 0
    for _ in range(200):
        wrong = rng.random((2, 150)) < 0.25
        low, high = interval_of(mean_draws(wrong[1] - 1.0 * wrong[0], 200, 0))
        called += low > 0 or high < 0
    assert 1 <= called <= 22  # 10 expected; more than 22 comes once in 10,000


def test_clips_that_changed_their_mind_are_told_the_largest_change_first():
    labels = np.array([[1, 0]] * 4)
    first = Scored(
        "x", list("abcd"), labels, [[0.9, 0.1], [0.4, 0.2], [0.6, 0.3], [0.2, 0.9]], None, {"codec": list("pqrs")}
    )
    second = Scored("x", list("abcd"), labels, [[0.8, 0.1], [0.6, 0.2], [0.1, 0.3], [0.3, 0.2]])
    found = paired(first, second, 10, 0).changed
    assert [(one.clip, one.column, one.mended) for one in found] == [
        ("d", "real", True), ("c", "fake", False), ("b", "fake", True),
    ]  # fmt: skip
    assert found[0].details == {"codec": "s"} and (found[0].first, found[0].second) == (0.9, 0.2)


def test_other_clips_are_refused():
    rng = np.random.default_rng(0)
    one = of(rng, rng.integers(0, 2, (20, 2)), 1.0)
    other = Scored("select", list(one.clips), 1 - one.labels, one.scores)
    with pytest.raises(ValueError, match="not the same clips"):
        paired(one, other, 10, 0)
    with pytest.raises(ValueError, match="not the same clips"):
        paired(one, of(rng, one.labels, 1.0, clips=[f"c{n}" for n in range(20)]), 10, 0)


def test_the_page_is_whole_and_names_stay_names(tmp_path):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (80, 2))
    found = paired(of(rng, labels, 2.0), of(rng, labels, 0.5), 50, 0)
    lost = Heard(found.changed[1], sentence=f"No {HOSTILE}.")
    one = Comparison(
        HOSTILE, f"b{HOSTILE}", "today", [found], {"train.note": (HOSTILE, [1])},
        [Heard(found.changed[0], (), "data:audio/flac;base64,AAAA"), lost], [HOSTILE],
    )  # fmt: skip
    write_comparison(tmp_path / "page.html", one)
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert "<script" not in text and page.words.count(HOSTILE) > 10
    assert {link[1:] for link in page.loads if link[0] == "#"} <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert "answers are right with" in page.words and verdict(found.score, f"b{HOSTILE}") in page.words
    write_comparison(tmp_path / "bare.html", Comparison("a", "b", "today", [paired(*[of(rng, labels, 1.0)] * 2, 0, 0)]))
    assert "None: both were trained with the same settings." in (tmp_path / "bare.html").read_text()
