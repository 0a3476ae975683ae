"""One corpus or several, and another one as the test: every recording once, its labels where they may be seen."""

import json
from collections import Counter

import miniatures
import pytest
from corpora_rows import write_corpus

from app.config import Config
from app.corpora.recordings import answers_of, label_files, recordings_of
from app.corpora.recordings import tested_folder as folder_of_the_test
from app.errors import UserError


def config(**sections):
    return Config.model_validate_json(json.dumps(sections))


def complaint(data, **sections):
    with pytest.raises(UserError) as caught:
        recordings_of(data, config(**sections))
    assert caught.value.fix
    return str(caught.value)


def test_a_test_recording_shows_nothing_but_where_it_lies(tmp_path):
    corpus = recordings_of(miniatures.asvspoof2019_la(tmp_path), config())
    tests = [row for row in corpus.rows if row["split"] == "test"]
    assert len(tests) == 12 and corpus.answers
    hidden = ("fake", "real", "speaker", "attack", "language", "parent")
    assert all(row[key] is None for row in tests for key in hidden)
    assert not any("codec" in row for row in tests)


def test_the_answers_are_those_of_the_protocol(tmp_path):
    folder = miniatures.asvspoof2021_la(miniatures.plain(tmp_path))
    how = config(prepare={"adapter": "folder"}, test={"data": ".", "corpus": "asvspoof2021_la"})
    found = {row["id"]: row for row in answers_of(folder, how)}
    assert {id: (row["fake"], row["real"], row["codec"]) for id, row in found.items()} == {
        "LA_E_9332881": (1, 0, "alaw"),
        "LA_E_7294490": (0, 1, "g722"),
    }


def test_one_corpus_is_learnt_from_and_another_is_the_test(tmp_path):
    miniatures.plain(tmp_path / "mine")
    miniatures.in_the_wild(tmp_path / "wild")
    how = config(prepare={"corpora": {"mine": {"data": "mine"}}}, test={"data": "wild"})
    corpus = recordings_of(tmp_path, how)
    assert Counter(row["split"] for row in corpus.rows) == {"train": 12, "test": 24}
    tests = [row for row in corpus.rows if row["split"] == "test"]
    assert all(row["path"].startswith("wild/release_in_the_wild/") for row in tests)
    assert corpus.tables == ["wild/release_in_the_wild/meta.csv"]
    assert len(answers_of(tmp_path, how)) == 24 and folder_of_the_test(tmp_path, how) == tmp_path / "wild"


def test_a_test_of_its_own_is_set_aside_where_another_corpus_is_the_test(tmp_path):
    miniatures.asvspoof2019_la(tmp_path)
    miniatures.in_the_wild(tmp_path / "wild")
    corpus = recordings_of(tmp_path, config(test={"data": "wild"}))
    assert Counter(row["split"] for row in corpus.rows) == {"train": 96, "test": 24}
    assert "12 test recordings of the corpus that is learnt from are set aside" in corpus.notes


def test_several_corpora_have_ids_of_their_own_and_share_their_speakers(tmp_path):
    write_corpus(
        tmp_path / "a",
        train="id,path,label\nx,x.wav,real\ny,y.wav,fake\n",
        meta="id,speaker,attack,parent\ny,kim,tts,x\n",
    )
    write_corpus(tmp_path / "b", train="id,path,label\nx,x.wav,real\n", meta="id,speaker,attack\nx,kim,bonafide\n")
    corpus = recordings_of(tmp_path, config(prepare={"corpora": {"one": {"data": "a"}, "two": {"data": "b"}}}))
    rows = {row["id"]: row for row in corpus.rows}
    assert set(rows) == {"one:x", "one:y", "two:x"}
    assert rows["one:y"]["parent"] == "one:x" and rows["one:y"]["sources"] == ["one:y"]
    assert rows["one:y"]["path"] == "a/y.wav" and rows["two:x"]["path"] == "b/x.wav"
    assert rows["one:y"]["speaker"] == rows["two:x"]["speaker"] == "kim"  # so that they lie in one split
    assert {row["corpus"] for row in rows.values()} == {"one", "two"}
    assert corpus.tables == ["a/train.csv", "a/meta.csv", "b/train.csv", "b/meta.csv"]


def test_what_the_test_shares_with_training_is_told(tmp_path):
    miniatures.in_the_wild(tmp_path / "wild")
    write_corpus(
        tmp_path / "mine",
        train="id,path,label\nx,x.wav,real\ny,y.wav,fake\n",
        meta="id,speaker,attack\nx,Mark Twain,bonafide\n",
    )
    notes = recordings_of(
        tmp_path, config(prepare={"corpora": {"mine": {"data": "mine"}}}, test={"data": "wild"})
    ).notes
    assert any(note.startswith("1 of 6 speakers of the test are in training too (Mark Twain)") for note in notes)


def test_a_corpus_that_is_learnt_from_is_no_test_without_one_of_its_own(tmp_path):
    miniatures.plain(tmp_path / "mine")
    miniatures.asvspoof2019_la(tmp_path / "la")
    corpora = {"mine": {"data": "mine"}, "la": {"data": "la"}}
    said = complaint(tmp_path, prepare={"corpora": corpora}, test={"data": "mine"})
    assert "test.data: mine is learnt from, and has no test of its own" in said
    corpus = recordings_of(tmp_path, config(prepare={"corpora": corpora}, test={"data": "la"}))
    assert sum(row["split"] == "test" for row in corpus.rows) == 12


def test_what_of_its_corpus_is_not_the_test_is_told(tmp_path):
    miniatures.asvspoof2021_la(tmp_path / "la")
    miniatures.plain(tmp_path / "mine")
    how = config(prepare={"corpora": {"mine": {"data": "mine"}}}, test={"data": "la"})
    notes = recordings_of(tmp_path, how).notes
    assert "of its 4 recordings 2 are the test; set aside: 2 extra" in notes
    assert any("the test is la, in the layout asvspoof2021_la: key bonafide is" in note for note in notes)


def test_a_code_of_one_asvspoof_is_not_that_of_another(tmp_path):
    miniatures.asvspoof5(tmp_path / "five")
    miniatures.asvspoof2021_la(tmp_path / "la")
    how = config(prepare={"corpora": {"five": {"data": "five"}}}, test={"data": "la"})
    corpus = recordings_of(tmp_path, how)
    assert {row["attack"] for row in corpus.rows if row["fake"]} >= {"ASVspoof5-A05"}
    assert not any("attacks of the test" in note for note in corpus.notes)


@pytest.mark.parametrize("folder", ["/tmp", "../wild", "a/../../wild"])
def test_a_corpus_that_does_not_lie_below_data_is_told_how_it_may(tmp_path, folder):
    miniatures.plain(tmp_path)
    said = complaint(tmp_path, test={"data": folder})
    assert f"test.data: '{folder}' does not lie below DATA" in said and "ln -s" in said


def test_a_corpus_may_be_linked_below_data(tmp_path):
    miniatures.in_the_wild(tmp_path / "elsewhere")
    data = miniatures.plain(tmp_path / "data")
    (data / "wild").symlink_to(tmp_path / "elsewhere")
    assert len(answers_of(data, config(test={"data": "wild"}))) == 24
    assert "no such folder" in complaint(data, test={"data": "gone"})


def test_a_test_alone_cannot_be_learnt_from(tmp_path):
    miniatures.asvspoof2021_la(tmp_path)
    said = complaint(tmp_path)
    assert "no recording to learn from" in said and "test.data" in said


def test_one_label_alone_is_refused(tmp_path):
    miniatures.wavefake(tmp_path, real=False)
    said = complaint(tmp_path)
    assert "no real recording to learn from" in said and "prepare.corpora" in said
    for n, (label, missing) in enumerate((("real", "fake"), ("fake", "real"))):
        folder = write_corpus(tmp_path / str(n), train=f"id,path,label\na,a.ogg,{label}\nb,b.ogg,{label}\n")
        assert f"no {missing} recording" in complaint(folder)


def test_an_id_in_train_and_test_is_refused(tmp_path):
    said = complaint(write_corpus(tmp_path, test="id,path\nz,z.ogg\na,test/a.ogg\n"))
    assert "id 'a' is both a train and a test clip" in said


def test_the_answers_of_a_contest_are_in_its_own_file(tmp_path):
    folder = write_corpus(tmp_path, test="id,path\nz,z.ogg\n")
    assert answers_of(folder, config()) is None
    (folder / "test_labels.csv").write_text("id,fake,real\nz,1,1\n")
    assert [(row["id"], row["fake"], row["real"]) for row in answers_of(folder, config())] == [("z", 1, 1)]
    assert not recordings_of(folder, config()).answers  # evaluate alone opens that file


def test_a_weight_of_a_corpus_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="mix.corpus_weights: 'b' is none of prepare.corpora"):
        config(prepare={"corpora": {"a": {"data": "a"}}}, mix={"corpus_weights": {"b": 2.0}})


def test_of_several_corpora_only_their_tests_are_judged(tmp_path):
    miniatures.asvspoof2019_la(tmp_path / "la")
    miniatures.in_the_wild(tmp_path / "wild")  # without a test of its own: it is learnt from
    write_corpus(tmp_path / "mine", test="id,path\nz,z.ogg\n")
    (tmp_path / "mine" / "test_labels.csv").write_text("id,fake,real\nz,1,1\n")
    how = config(prepare={"corpora": {name: {"data": name} for name in ("la", "wild", "mine")}})
    found = {row["id"]: (row["fake"], row["real"]) for row in answers_of(tmp_path, how)}
    listed = {row["id"] for row in recordings_of(tmp_path, how).rows if row["split"] == "test"}
    assert set(found) == listed and len(found) == 13 and found["mine:z"] == (1, 1)
    assert label_files(tmp_path, how) == [tmp_path / "mine" / "test_labels.csv"]


def test_a_corpus_without_a_test_has_no_answers_of_its_own(tmp_path):
    miniatures.in_the_wild(tmp_path)
    assert answers_of(tmp_path, config()) is None
    assert len(answers_of(tmp_path, config(test={"data": "."}))) == 24


def test_an_empty_corpus_is_told_as_such(tmp_path):
    for name in ("real", "fake"):
        (tmp_path / name).mkdir()
    assert "holds no recording" in complaint(tmp_path)
