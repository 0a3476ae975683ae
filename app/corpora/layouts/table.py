"""A table of one's own: a CSV, or JSON lines, with the columns that `prepare.table` names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.config import TableConfig
from app.corpora.corpus import Corpus, Layout, inside
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.tables import Row, brief, check_id, choice, head_of, read_table
from app.corpora.text import open_text
from app.errors import UserError
from app.runtime.rows import Rows

KINDS = (".csv", ".tsv", ".jsonl")
SURROGATE = re.compile(r"[\ud800-\udfff]")  # JSON can write one alone
NOTHING = {"", "-", "--", "?", "none", "nan", "null", "na", "n/a", "unknown", "unk", "<unk>"}
REAL = {BONAFIDE, "bona-fide", "bona_fide", "real", "genuine", "human"}
KNOWN = ("speaker", "attack", "language", "parent", "source")


def read_own(folder: Path, how: TableConfig) -> Corpus:
    """All recordings that the table lists. Raises UserError naming file and line, and the key of the config."""
    table = _table(folder, how)
    named = {key: getattr(how, key) for key in ("id", "path", "label", *KNOWN, "split")}
    columns = [column for column in named.values() if column]
    labels = {**dict.fromkeys(how.real, (0, 1)), **dict.fromkeys(how.fake, (1, 0))}
    splits = {**dict.fromkeys(how.train, "train"), **dict.fromkeys(how.test, "test")}
    rows, seen = Rows(), dict[str, int]()
    head = head_of(table, columns) if table.suffix.lower() != ".jsonl" else []
    if head and (missing := [column for column in columns if column not in head]):
        keys = ", ".join(f"prepare.table.{key} ('{brief(str(c))}')" for key, c in named.items() if c in missing)
        raise UserError(
            f"{table}:1: no column for {keys}; it has: {brief(', '.join(head), 200)}",
            "say in prepare.table which of them is what; null where there is none",
        )
    lines = _json_lines(table, columns) if table.suffix.lower() == ".jsonl" else read_table(table, columns, (), how.id)
    for line, row in lines:
        where = f"{table}:{line}"
        path = inside(folder, row[how.path], where)
        id = row[how.id] if how.id else str(Path(path).with_suffix("")).replace("/", ":")
        if not how.id or table.suffix.lower() == ".jsonl":
            check_id(table, line, id, seen)
        label = labels[choice(table, line, how.label, row[how.label], labels)]
        told = {key: _told(row[named[key]]) for key in KNOWN if named[key]}
        told["attack"] = _attack(told.get("attack", ""), label, where)
        split = splits[choice(table, line, how.split, row[how.split], splits)] if how.split else "train"
        rows.append(recording(id=id, path=path, label=label, split=split, **told))
    return Corpus(rows, [str(table.relative_to(folder))], bool(how.speaker or how.attack))


def _attack(name: str, label: tuple[int, int], where: str) -> str:
    """BONAFIDE for a real voice, whatever stands for none in that column."""
    if label == (0, 1):
        if name and name.lower() not in REAL:
            raise UserError(
                f"{where}: attack '{brief(name)}' of a real voice", "leave it empty there, or write bonafide"
            )
        return BONAFIDE
    if name.lower() in REAL:
        raise UserError(f"{where}: attack '{name}' of a fake voice", "write the name of its engine, or nothing")
    return name


def _told(text: str) -> str:
    """A name; "" for what stands in tables where nothing is known, which is not the name of one speaker or engine."""
    text = text.strip()
    return "" if text.lower() in NOTHING else text


def _table(folder: Path, how: TableConfig) -> Path:
    if how.file:
        return folder / inside(folder, how.file, "prepare.table.file")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in KINDS) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:8]) or "none"
    raise UserError(
        f"{folder}: which table? It holds {len(found)} of {', '.join(KINDS)}: {names}", "prepare: {table: {file: NAME}}"
    )


def _json_lines(path: Path, columns: list[str]) -> Iterator[tuple[int, Row]]:
    """(line, values as texts); null is an empty text."""
    with open_text(path) as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{path}:{line}: not a JSON object ({brief(str(error))})", "one object a line"
                ) from None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{line}: not a JSON object, but {brief(text.strip(), 40)}", "one object a line")
            missing = [name for name in columns if name not in row]
            if missing:
                raise UserError(
                    f"{path}:{line}: no '{missing[0]}' (it has: {brief(', '.join(row), 200)})",
                    "name the columns in prepare.table",
                )
            yield line, {name: _text(path, line, name, row[name]) for name in columns}


def _text(path: Path, line: int, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if SURROGATE.search(value):
            raise UserError(f"{path}:{line}: '{brief(name)}' holds half a character", "save it as UTF-8")
        return value
    if isinstance(value, int | float):
        return json.dumps(value)
    raise UserError(f"{path}:{line}: '{brief(name)}' holds {type(value).__name__}", "give a text or a number")


LAYOUT = Layout(
    name="table",
    holds="a CSV or JSON lines of your own; prepare.table names its columns",
    source="whoever made the recordings",
    labels="what prepare.table.real lists is (fake, real) = (0, 1), what prepare.table.fake lists is (1, 0)",
    fits=lambda folder: False,
    read=read_own,
)
