"""A corpus in the contest layout is read as it is, or the user learns what to mend."""

from collections import Counter

import pytest
from corpora_rows import write_corpus

from app.corpora.labels import read_labels
from app.corpora.layouts.contest import read_contest
from app.errors import UserError


def complaint(folder):
    with pytest.raises(UserError) as caught:
        read_contest(folder)
    assert caught.value.fix
    return str(caught.value).replace(f"{folder}/", "")


def by_id(folder):
    return {row["id"]: row for row in read_contest(folder).rows}


def test_the_demo_corpus_has_150_training_and_24_test_clips(demo):
    corpus = read_contest(demo)
    assert Counter(row["split"] for row in corpus.rows) == {"train": 150, "test": 24}
    train = [row for row in corpus.rows if row["split"] == "train"]
    assert Counter((row["fake"], row["real"]) for row in train) == {(1, 0): 75, (0, 1): 75}
    assert {(row["fake"], row["real"]) for row in corpus.rows if row["split"] == "test"} == {(None, None)}
    assert corpus.has_meta and corpus.tables == ["train.csv", "meta.csv", "test.csv"]
    assert all(row["speaker"] and row["attack"] and row["language"] for row in train)
    assert all((row["attack"] == "bonafide") == bool(row["real"]) for row in train)
    assert all((demo / row["path"]).is_file() and not row["path"].startswith(".") for row in corpus.rows)
    assert len(read_labels(demo / "test_labels.csv")) == 24


def test_real_is_0_1_and_fake_is_1_0(tmp_path):
    rows = by_id(write_corpus(tmp_path))
    assert (rows["a"]["fake"], rows["a"]["real"]) == (0, 1)
    assert (rows["b"]["fake"], rows["b"]["real"]) == (1, 0)
    assert rows["a"]["sources"] == ["a"] and rows["a"]["split"] == "train"


def test_without_meta_and_test_only_the_labels_are_known(tmp_path):
    corpus = read_contest(write_corpus(tmp_path))
    assert not corpus.has_meta and corpus.tables == ["train.csv"] and len(corpus.rows) == 2
    assert all(row[key] is None for row in corpus.rows for key in ("speaker", "attack", "language", "parent"))


def test_gaps_in_meta_are_gaps_in_what_is_known(tmp_path):
    meta = "id,speaker,attack\na,kim,\nsomebody else,lee,bonafide\n"
    rows = by_id(write_corpus(tmp_path, meta=meta))
    assert [rows["a"][key] for key in ("speaker", "attack", "language", "parent")] == ["kim", None, None, None]
    assert [rows["b"][key] for key in ("speaker", "attack", "language", "parent")] == [None] * 4


def test_meta_needs_speaker_and_attack(tmp_path):
    assert complaint(write_corpus(tmp_path, meta="id,speakers,attack\na,kim,\n")) == (
        "meta.csv:1: no column 'speaker'\n  fix: rename 'speakers' to 'speaker'"
    )


def test_an_unknown_label_names_its_line_and_the_nearest_match(tmp_path):
    said = complaint(write_corpus(tmp_path, train="id,path,label\na,a.ogg,real\nb,b.ogg,reel\n"))
    assert said == "train.csv:3: label: unknown value 'reel'\n  fix: did you mean 'real'?"


@pytest.mark.parametrize("path", ["../../x.ogg", "train/../../x.ogg", "/etc/passwd", "link.ogg", "linked/x.ogg"])
@pytest.mark.parametrize("table", ["train", "test"])
def test_a_path_that_leaves_the_corpus_is_refused(tmp_path, path, table):
    folder = tmp_path / "corpus"
    row = f"c,{path},real\n" if table == "train" else f"id,path\nc,{path}\n"
    write_corpus(folder, **{table: (f"id,path,label\nb,b.ogg,fake\n{row}" if table == "train" else row)})
    (tmp_path / "x.ogg").touch()
    (folder / "link.ogg").symlink_to(tmp_path / "x.ogg")
    (folder / "linked").symlink_to(tmp_path)
    said = complaint(folder)
    line = 3 if table == "train" else 2
    assert said.startswith(f"{table}.csv:{line}: path '{path}' ")
    assert "leaves the corpus folder" in said or "is absolute" in said


def test_nothing_absolute_is_stored_even_if_it_lies_inside(tmp_path):
    said = complaint(write_corpus(tmp_path, train=f"id,path,label\na,a.ogg,real\nb,{tmp_path}/b.ogg,fake\n"))
    assert "train.csv:3" in said and "is absolute\n  fix: write it relative" in said


def test_a_path_that_no_file_can_have_is_told(tmp_path):
    said = complaint(write_corpus(tmp_path, train="id,path,label\na,a.ogg,real\nb,b\0.ogg,fake\n"))
    assert said.startswith(r"train.csv:3: path 'b\x00.ogg'")
    (tmp_path / "round").symlink_to("round")
    said = complaint(write_corpus(tmp_path, train="id,path,label\na,a.ogg,real\nb,round/b.ogg,fake\n"))
    assert said.startswith("train.csv:3: path 'round/b.ogg'")


def test_a_link_within_the_corpus_and_a_missing_file_are_fine(tmp_path):
    folder = write_corpus(tmp_path, train="id,path,label\na,./link.ogg,real\nb,nowhere/b.ogg,fake\n")
    (folder / "link.ogg").symlink_to("train.csv")
    assert {row["path"] for row in read_contest(folder).rows} == {"link.ogg", "nowhere/b.ogg"}


def test_unlabelled_recordings_are_found_by_their_folder(tmp_path):
    folder = write_corpus(tmp_path)
    (folder / "unlabeled_data").mkdir()
    for name in ("U2.OGG", "u1.wav", "notes.txt", ".DS_Store"):
        (folder / "unlabeled_data" / name).touch()
    found = [row for row in read_contest(folder).rows if row["split"] == "unlabeled"]
    assert [(row["id"], row["path"], row["fake"]) for row in found] == [
        ("U2", "unlabeled_data/U2.OGG", None),
        ("u1", "unlabeled_data/u1.wav", None),
    ]


def test_test_labels_are_numbers_and_voices_tell_attack_and_language(tmp_path):
    path = tmp_path / "test_labels.csv"
    voices = '"[{""attack"": ""bonafide"", ""language"": ""ko""}, {""attack"": ""tts/a"", ""language"": ""en""}]"'
    path.write_text(f"id,fake,real,snr_db,voices\nx,1,1,3.5,{voices}\ny,0,0,9,[]\nz,0,1,9,kim\n")
    x, y, z = read_labels(path)
    assert (x["fake"], x["real"], x["snr_db"], x["attack"], x["language"]) == (1, 1, "3.5", "tts/a", "ko+en")
    assert (y["fake"], y["real"], y["attack"], y["language"]) == (0, 0, None, None)
    assert (z["fake"], z["real"], z["voices"]) == (0, 1, "kim")


@pytest.mark.parametrize(("column", "row"), [("fake", "x,0.5,1"), ("real", "x,1,true"), ("fake", "x,,1")])
def test_a_test_label_that_is_neither_0_nor_1_names_its_line(tmp_path, column, row):
    path = tmp_path / "test_labels.csv"
    path.write_text(f"id,fake,real\nw,1,0\n{row}\n")
    with pytest.raises(UserError, match=rf"test_labels\.csv:3: {column}: unknown value"):
        read_labels(path)


def test_a_real_clip_of_an_engine_and_a_fake_one_of_none_are_told_with_both_lines(tmp_path):
    folder = write_corpus(tmp_path)
    for label, attack in (("real", "kokoro/x"), ("fake", "bonafide")):
        (folder / "train.csv").write_text(f"id,path,label\nz,./z.ogg,fake\ny,./y.ogg,real\na,./a.ogg,{label}\n")
        (folder / "meta.csv").write_text(f"id,speaker,attack\na,s,{attack}\n")
        told = complaint(folder)
        assert f"meta.csv:2: attack '{attack}'" in told and f"train.csv:4 calls {label}" in told


@pytest.mark.parametrize(("mistyped", "meant"), [("Parent", "parent"), ("lang", "language"), ("langauge", "language")])
def test_an_optional_column_mistyped_is_not_ignored(tmp_path, mistyped, meant):
    folder = write_corpus(tmp_path)
    (folder / "meta.csv").write_text(f"id,speaker,attack,{mistyped},source\n")
    told = complaint(folder)
    assert f"meta.csv:1: unknown column '{mistyped}'" in told and f"did you mean '{meant}'" in told


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c,,real", "train.csv:3: an empty path"),
        ("c,  ,real", "train.csv:3: an empty path"),
        ("c,c.ogg,", "train.csv:3: label: unknown value ''"),
        (",c.ogg,real", "train.csv:3: an empty id"),
        ("c,.,real", "train.csv:3: path '.' leaves the corpus folder"),
        ("c,C:\\clips\\c.ogg,real", "train.csv:3: path 'C:\\clips\\c.ogg' is absolute"),
        ("c,..\\c.ogg,real", "train.csv:3: path '../c.ogg' leaves the corpus folder"),
    ],
)
def test_an_empty_cell_or_a_path_of_windows_that_leads_out_is_told(tmp_path, row, said):
    assert complaint(write_corpus(tmp_path, train=f"id,path,label\nb,b.ogg,fake\n{row}\n")).startswith(said)


def test_a_path_of_windows_is_found_below_the_corpus(tmp_path):
    folder = write_corpus(tmp_path, train="id,path,label\na,train\\a.ogg,real\nb,train/b.ogg,fake\n")
    assert by_id(folder)["a"]["path"] == "train/a.ogg"
