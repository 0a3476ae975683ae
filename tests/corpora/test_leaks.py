"""A test that was heard in training is told, and one that is the training is refused."""

import pytest

from app.corpora.leaks import bytes_shared, names_shared
from app.corpora.manifest import recording
from app.errors import UserError


def rows(*digests, **known):
    return [
        {**recording(id=f"r{n}", path=f"{n}.wav", label=(1, 0), split="train", **known), "sha256": digest}
        for n, digest in enumerate(digests)
    ]


A, B, C, D = (f"{n:x}" * 64 for n in (1, 2, 3, 4))


def test_the_same_bytes_are_told_whatever_the_names():
    assert bytes_shared(rows(A, B), rows(C, D)) == []
    (said,) = bytes_shared(rows(A, B), rows(C, B, D))
    assert said.startswith("1 of 3 recordings of the test are training recordings, byte for byte (r1)")


def test_a_test_that_is_mostly_training_is_refused():
    with pytest.raises(UserError, match="2 of 3 .* this is no test"):
        bytes_shared(rows(A, B), rows(A, B, C))


def test_recordings_that_could_not_be_read_are_not_alike_by_that():
    assert bytes_shared(rows("missing", "unreadable"), rows("missing", "missing", "unreadable")) == []
    assert bytes_shared([], rows(A)) == [] and bytes_shared(rows(A), []) == []


@pytest.mark.parametrize(("heard", "tried"), [("source", "r0"), ("x", "x"), ("r9", "r1")])
def test_recordings_of_one_origin_are_told(heard, tried):
    """A fake of the test copies one of training; both copy a third; a fake of training copies one of the test."""
    train = [{**rows(A)[0], "parent": heard}]
    tests = [{**rows(B)[0], "id": "r9", "parent": tried if heard != "r9" else None}]
    (said,) = names_shared(train, tests)
    assert "1 recordings of the test and some of training come from one recording" in said and "(r9)" in said


def test_neither_no_speaker_nor_bonafide_is_a_name_that_is_shared():
    assert names_shared(rows(A, attack="bonafide"), rows(B, attack="bonafide")[:0] + rows(B)) == []
    train, tests = rows(A, speaker="kim", attack="tts"), [{**rows(B, speaker="kim", attack="vc")[0], "id": "t"}]
    (said,) = names_shared(train, tests)
    assert said.startswith("1 of 1 speakers of the test are in training too (kim)")
