"""A table is read strictly, and every complaint names file, line and what to do."""

import pytest

from app.corpora.tables import choice, read_table
from app.errors import UserError

COLUMNS = ["id", "path", "label"]


def table(tmp_path, content):
    path = tmp_path / "train.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def complaint(tmp_path, content):
    path = table(tmp_path, content)
    with pytest.raises(UserError) as caught:
        list(read_table(path, COLUMNS))
    assert str(path) in caught.value.what and caught.value.fix
    return str(caught.value).replace(str(path), "train.csv")


def test_rows_come_with_their_lines(tmp_path):
    path = table(tmp_path, 'id,path,label,note\na,x.ogg,real,"1,5\n s"\n\nb,y.ogg,fake,\n')
    assert list(read_table(path, COLUMNS)) == [
        (3, {"id": "a", "path": "x.ogg", "label": "real", "note": "1,5\n s"}),  # a quoted cell may hold a line break
        (5, {"id": "b", "path": "y.ogg", "label": "fake", "note": ""}),
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path, bom, end, last):
    content = bom + end.join([b"id,path,label", "목,train/목.ogg,real".encode(), b"b,b.ogg,fake"]) + last
    assert [(line, row["id"], row["label"]) for line, row in read_table(table(tmp_path, content), COLUMNS)] == [
        (2, "목", "real"),
        (3, "b", "fake"),
    ]


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        ("id,path,lable", "rename 'lable' to 'label'"),
        ("id,path,Label", "rename 'Label' to 'label'"),
        ("ID,path,label", "rename 'ID' to 'id'"),
        ("id, path,label", "rename ' path' to 'path'"),
        ("id,path,zzz", "add it; the columns are: id, path, zzz"),
        ("", "add it; the columns are: none"),
        ("id path label", "add it; the columns are: id path label"),
    ],
)
def test_a_missing_column_is_told_with_the_nearest_match(tmp_path, head, hint):
    said = complaint(tmp_path, f"{head}\na,b,c\n" if head else "")
    assert said.startswith("train.csv:1: no column '") and hint in said


def test_a_column_that_stands_twice_is_refused(tmp_path):
    assert complaint(tmp_path, "id,path,label,label\na,x,real,fake\n").startswith("train.csv:1: column 'label' stands")


@pytest.mark.parametrize(("row", "cells"), [("b,y.ogg", 2), ("b,y.ogg,fake,", 4), (" ", 1)])
def test_a_wrong_number_of_cells_names_its_line(tmp_path, row, cells):
    said = complaint(tmp_path, f"id,path,label\na,x.ogg,real\n{row}\n")
    assert said.startswith(f"train.csv:3: {cells} cells, the head has 3") and "comma" in said


def test_a_repeated_id_names_both_lines(tmp_path):
    said = complaint(tmp_path, "id,path,label\na,x,real\nb,y,fake\na,z,real\n")
    assert said.startswith("train.csv:4: id 'a' stands on line 2 already")


def test_an_empty_id_names_its_line(tmp_path):
    assert complaint(tmp_path, "id,path,label\na,x,real\n,y,fake\n").startswith("train.csv:3: an empty id")


def test_semicolons_tabs_and_bars_separate_too(tmp_path):
    for sign in ";\t|":
        for before in ("", f"sep={sign}\r\n"):
            content = f"{before}id{sign}path{sign}label\na{sign}x,y.ogg{sign}real\n"
            (line, row), *rest = read_table(table(tmp_path, content), COLUMNS)
            assert row == {"id": "a", "path": "x,y.ogg", "label": "real"} and not rest
            assert line == (3 if before else 2)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp949"])
def test_a_table_saved_by_a_korean_windows_is_read(tmp_path, encoding):
    text = "id,path,label\r\n목소리,train/목소리.ogg,real\r\n"
    assert [row for _, row in read_table(table(tmp_path, text.encode(encoding)), COLUMNS)] == [
        {"id": "목소리", "path": "train/목소리.ogg", "label": "real"}
    ]


def test_that_it_was_read_as_cp949_is_told_once_with_a_line_to_look_at(tmp_path, capsys):
    path = table(tmp_path, "id,path,label\na,x,real\nb,목소리.ogg,fake\n".encode("cp949"))
    assert [len(list(read_table(path, COLUMNS))) for _ in range(2)] == [2, 2]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "read as CP949" in told[0] and "Line 3, is it right? b,목소리.ogg,fake" in told[0]


@pytest.mark.parametrize("bad", [b"\xe9", b"\x80", b"\xff"])
def test_what_is_in_no_known_encoding_names_its_line(tmp_path, bad):
    said = complaint(tmp_path, b"id,path,label\na,x,real\nb," + bad + b",fake\n")
    assert said.startswith("train.csv:3: not UTF-8") and "save it as UTF-8" in said


def test_a_text_cut_off_within_a_character_names_its_line(tmp_path):
    said = complaint(tmp_path, "id,path,label\na,x,real\n".encode("utf-16")[:-1])
    assert said.startswith("train.csv:") and "begins as UTF-16, but is not" in said
    said = complaint(tmp_path, b"\xef\xbb\xbfid,path,label\na,\xff,real\n")
    assert said.startswith("train.csv:2: begins as UTF-8, but is not")


def test_a_first_line_without_an_end_is_no_head(tmp_path):
    assert "a first line of over" in complaint(tmp_path, b"id," * 1_000_000)


@pytest.mark.parametrize("id", ["=cmd()", "@SUM(1)", "+1+cmd|' /C calc'!A0", "-2+3", '=HYPERLINK("x")'])
def test_an_id_that_a_spreadsheet_would_run_is_refused(tmp_path, id):
    cell = '"' + id.replace('"', '""') + '"'
    said = complaint(tmp_path, f"id,path,label\na,x,real\n{cell},y,fake\n")
    assert said.startswith("train.csv:3: id '") and "is a formula" in said


@pytest.mark.parametrize("id", ["../x", "/etc/passwd", "a/b", "C:\\x", "..", "."])
def test_an_id_that_is_a_path_is_refused(tmp_path, id):
    said = complaint(tmp_path, f"id,path,label\na,x,real\n{id},y,fake\n")
    assert said.startswith(f"train.csv:3: id '{id}' is a path")


def test_an_id_with_a_control_character_is_refused(tmp_path):
    assert "control character" in complaint(tmp_path, "id,path,label\na\x1b[31m,x,real\n")


@pytest.mark.parametrize("id", ["-dQw4w9WgXcQ", "+82-10", "목소리 1", "a=b", "x.y:z", "0"])
def test_a_name_that_only_looks_odd_is_an_id(tmp_path, id):
    assert [row["id"] for _, row in read_table(table(tmp_path, f"id,path,label\n{id},x,real\n"), COLUMNS)] == [id]


def test_a_quote_that_never_ends_names_its_line(tmp_path):
    said = complaint(tmp_path, 'id,path,label\na,x,real\nb,"y,fake\n')
    assert said.startswith("train.csv:3: not a readable CSV") and "quotes" in said


def test_a_missing_file_and_a_folder_in_its_place_are_told(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file\n  fix: point DATA"):
        list(read_table(tmp_path / "none.csv", COLUMNS))
    with pytest.raises(UserError, match="cannot be read .Is a directory"):
        list(read_table(tmp_path, COLUMNS))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("reel", "did you mean 'real'?"),
        ("Fake", "did you mean 'fake'?"),
        ("real ", "did you mean 'real'?"),
        ("spoof", "known: fake, real"),
        ("1", "known: fake, real"),
        ("", "known: fake, real"),
    ],
)
def test_an_unknown_value_names_its_line_and_the_nearest_match(tmp_path, value, hint):
    with pytest.raises(UserError) as caught:
        choice(tmp_path / "train.csv", 7, "label", value, ("fake", "real"))
    assert caught.value.what == f"{tmp_path}/train.csv:7: label: unknown value '{value}'"
    assert caught.value.fix == hint
