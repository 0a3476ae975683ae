"""Whatever stands in a table, a protocol or a folder: rows, or a complaint that names where; no row is lost."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import TableConfig
from app.corpora.layouts import LAYOUTS
from app.corpora.layouts.protocol import read_protocol
from app.corpora.tables import read_table
from app.errors import UserError

# cells as people have them: Hangul, quotes, separators, line breaks, blanks
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
CELLS = st.text("abc 목소리,;\t|\"'\n=", max_size=8)
IDS = st.text("abcdefgh0123456789-_.가나다", min_size=1, max_size=8).filter(lambda id: id not in (".", ".."))
QUICK = settings(max_examples=150, deadline=None)


def in_a_folder(check):
    """Hypothesis runs many examples in one test, so each has a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return check(Path(folder))


def complaint(read, folder):
    """The rows, or the complaint; anything else that is raised is a failure of the test."""
    try:
        return list(read())
    except UserError as error:
        assert str(folder) in error.what and error.fix and len(str(error)) < 2000
        return str(error)


@QUICK
@given(
    rows=st.dictionaries(IDS, st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp949"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_table_that_python_writes_is_read_back_whole(rows, separator, encoding, end):
    def check(folder):
        text = io.StringIO()
        writer = csv.writer(text, delimiter=separator, lineterminator=end)
        writer.writerow(["id", "path", "note"])
        for id, cells in rows.items():
            writer.writerow([id, *cells])
        (folder / "t.csv").write_bytes(text.getvalue().encode(encoding))
        found = complaint(lambda: read_table(folder / "t.csv", ["id", "path"]), folder)
        assert [(row["id"], row["path"], row["note"]) for _, row in found] == [
            (id, *cells) for id, cells in rows.items()
        ]

    in_a_folder(check)


@QUICK
@given(
    content=st.one_of(
        st.binary(max_size=200), TEXT.map(str.encode), CELLS.map(lambda t: f"id,path,label\n{t}".encode())
    )
)
def test_any_bytes_are_rows_or_a_complaint(content):
    def check(folder):
        (folder / "t.csv").write_bytes(content)
        complaint(lambda: read_table(folder / "t.csv", ["id", "path", "label"], ["speaker"]), folder)

    in_a_folder(check)


WORD = st.one_of(IDS, st.sampled_from(["-", "bonafide", "spoof", "A01", "../x", "/etc", "=cmd()", "eval", "progress"]))


@QUICK
@given(lines=st.lists(st.lists(WORD, max_size=7), max_size=8))
def test_any_protocol_is_one_row_a_line_or_a_complaint(lines):
    def check(folder):
        table = folder / "p.txt"
        table.write_text("\n".join(" ".join(words) for words in lines))
        found = complaint(lambda: read_protocol(table, ("speaker", "id", "", "attack", "key")), folder)
        if isinstance(found, str):
            assert f"{table}:" in found
            return
        wanted = [words for words in lines if words]
        assert len(found) == len(wanted)
        for (_, row), words in zip(found, wanted, strict=True):
            assert row["id"] == words[1] and "/" not in row["id"]
            assert (row["key"] == "bonafide") == (row["attack"] == "bonafide")

    in_a_folder(check)


NAMES = st.sampled_from(
    [
        "real",
        "fake",
        "spoof",
        "train",
        "test",
        "a",
        "목소리",
        "x.wav",
        "y.OGG",
        "z.txt",
        "meta.csv",
        "train.csv",
        "flac_T",
    ]
)


@settings(max_examples=80, deadline=None)
@given(paths=st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12), link=st.booleans())
def test_any_tree_is_read_without_leaving_it(paths, link):
    def check(folder):
        data = folder / "data"
        data.mkdir()
        for path in paths:
            place = data / path
            if place.exists() or any(parent.is_file() for parent in place.parents):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if "." in place.name:
                place.write_text("id,path,label\n")
            else:
                place.mkdir()
        if link:
            (folder / "secret.wav").touch()
            (data / "up").symlink_to("..")
            if (data / "real").is_dir():
                (data / "real" / "link.wav").symlink_to("../../secret.wav")
        for layout in LAYOUTS.values():
            if layout.fits(data):
                found = complaint(lambda layout=layout: layout.read(data, TableConfig()).rows, folder)
                for row in found if isinstance(found, list) else ():
                    assert (data / row["path"]).resolve().is_relative_to(data.resolve())

    in_a_folder(check)


PATHS = CELLS | st.just("../x") | st.just("/x")
GOOD = st.fixed_dictionaries({"path": PATHS, "label": st.sampled_from(["real", "fake", "?", ""])})
VALUES = st.none() | st.integers() | st.lists(st.integers())
ODD = st.dictionaries(st.sampled_from(["path", "label", "x"]), VALUES)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(GOOD | ODD, max_size=5))
def test_any_json_lines_are_rows_or_a_complaint(rows):
    import json

    def check(folder):
        (folder / "l.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = complaint(lambda: LAYOUTS["table"].read(folder, TableConfig()).rows, folder)
        if not isinstance(found, str):
            assert len(found) == len(rows)
            assert all(not row["path"].startswith(("/", "..")) for row in found)

    in_a_folder(check)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("table", "folder", "contest")])
def test_an_empty_folder_fits_no_published_layout(tmp_path, name):
    assert not LAYOUTS[name].fits(tmp_path)
