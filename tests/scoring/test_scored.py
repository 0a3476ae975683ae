import numpy as np
import pytest

from app.scoring.scored import DOUBT, MISTAKE, Scored, joined, picked

LABELS = [[0, 1], [1, 0], [1, 1], [0, 0], [0, 1]]
SCORES = [[0.9, 0.9], [0.9, 0.1], [0.3, 0.02], [0.5, 0.5], [0.2, 0.8]]


def scored(name: str = "test") -> Scored:
    return Scored(name, list("abcde"), LABELS, SCORES, details={"snr_db": [1.0, None, 3.0, 4.0, 5.0]})


def test_worst_mistakes_come_first_then_the_most_doubtful():
    found = picked(scored(), 2)
    assert [(one.clip, one.why) for one in found] == [("c", MISTAKE), ("a", MISTAKE), ("d", DOUBT), ("e", DOUBT)]
    worst = found[0]
    assert (worst.fake, worst.real, worst.p_fake, worst.p_real) == (1, 1, 0.3, 0.02)
    assert worst.error == pytest.approx(0.98) and worst.column == 1 and found[1].column == 0
    assert worst.details == {"snr_db": 3.0} and worst.data == "test"


def test_half_is_no_mistake_and_none_is_told_twice():
    found = picked(scored(), 10)
    assert [one.clip for one in found if one.why == MISTAKE] == ["c", "a"]
    assert sorted(one.clip for one in found) == list("abcde")
    assert picked(scored(), 0) == []


def test_ties_keep_their_order():
    same = Scored("x", list("abc"), [[0, 1]] * 3, [[0.8, 0.8]] * 3)
    assert [one.clip for one in picked(same, 2)] == ["a", "b", "c"]


def test_joined_is_all_of_both():
    other = Scored("other", ["f"], [[1, 0]], [[0.6, 0.4]], details={"codec": ["opus"]})
    both = joined("validation", [scored(), other])
    assert both.name == "validation" and len(both.clips) == 6 and both.scores[-1].tolist() == [0.6, 0.4]
    assert both.details == {"snr_db": [1.0, None, 3.0, 4.0, 5.0, None], "codec": [None] * 5 + ["opus"]}


def test_wrong_lengths_are_told():
    with pytest.raises(ValueError, match="codec: 1 values for 5"):
        Scored("x", list("abcde"), LABELS, SCORES, details={"codec": ["a"]})
    with pytest.raises(ValueError, match="ids: 2 values"):
        Scored("x", ["a", "b"], LABELS, SCORES)
    with pytest.raises(ValueError, match="0, 1"):
        Scored("x", ["a"], [[0, 1]], [[np.nan, 0.5]])
