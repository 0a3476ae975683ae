"""CSV tables of a corpus, read strictly: every complaint names file and line."""

import csv
import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.errors import UserError

Row = dict[str, str]

MOST_COLUMNS = 1000  # a table of more is something else


def read_table(path: Path, columns: Iterable[str], optional: Iterable[str] = ()) -> Iterator[tuple[int, Row]]:
    """(line number, row) of a CSV that must have `columns`, one after another; a BOM and CRLF are fine.

    Raises UserError for what is missing, no file or no UTF-8, a column that is missing
    (with the nearest match) or stands twice, one that looks like an `optional` one
    mistyped, over 1000 columns, a row of the wrong length and a repeated id.
    """
    _check_text(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _rows(path, csv.reader(file, strict=True), list(columns), list(optional))


def choice(path: Path, line: int, column: str, value: str, allowed: Iterable[str]) -> str:
    """`value`, if it is one of `allowed`; else a UserError with the nearest match."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(value.strip().lower(), allowed, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(allowed)}"
    raise UserError(f"{path}:{line}: {column}: unknown value '{brief(value)}'", hint)


def brief(text: str, most: int = 80) -> str:
    """At most so many characters of a cell, for a message: what a terminal would act on is spelled out."""
    seen = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text[:most])
    return seen if len(text) <= most else f"{seen}..."


def _rows(path: Path, reader: Any, columns: list[str], optional: list[str]) -> Iterator[tuple[int, Row]]:
    seen: dict[str, int] = {}
    try:
        head: list[str] = next(reader, [])
        if len(head) > MOST_COLUMNS:
            raise UserError(f"{path}:1: {len(head)} columns", f"keep the few that are needed: {', '.join(columns)}")
        _check_head(path, head, columns)
        _check_optional(path, head, columns, optional)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(head):
                raise UserError(
                    f"{path}:{reader.line_num}: {len(cells)} cells, the head has {len(head)}",
                    "mend that line; quote cells that hold a comma",
                )
            row = dict(zip(head, cells, strict=True))
            if "id" in row:
                _check_id(path, reader.line_num, row["id"], seen)
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a readable CSV ({error})", "mend the quotes there") from None


def _check_text(path: Path) -> None:
    """Raises UserError unless this is a file that one may read, in UTF-8."""
    line = 0
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe is waited for, a device never ends
            raise UserError(f"{path}: not a file", "it must be a table, not a pipe or device")
        with path.open("rb") as file:
            for content in file:
                line += 1
                content.decode()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "point DATA=... at the folder that holds it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "it must be a file that you may read") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{line}: not UTF-8 ({error.reason})", "save it as UTF-8 with commas") from None


def _check_head(path: Path, head: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in head:
            lower = {column.lower(): column for column in head}
            near = difflib.get_close_matches(name, lower, n=1, cutoff=0.5)
            columns = brief(", ".join(head), 200) or "none"
            hint = f"rename '{brief(lower[near[0]])}' to '{name}'" if near else f"add it; the columns are: {columns}"
            if len(head) == 1 and any(sign in head[0] for sign in ";\t"):
                hint = "separate the cells by commas"
            raise UserError(f"{path}:1: no column '{name}'", hint)
        if head.count(name) > 1:
            raise UserError(f"{path}:1: column '{name}' stands twice", "remove one of them")


def _check_optional(path: Path, head: list[str], wanted: list[str], optional: list[str]) -> None:
    """A column that is not read because its name is a little off would be ignored in silence."""
    spare = {name.strip().lower(): name for name in head if name not in wanted and name not in optional}
    for name in optional:
        if head.count(name) > 1:
            raise UserError(f"{path}:1: column '{name}' stands twice", "remove one of them")
        near = difflib.get_close_matches(name, spare, n=1, cutoff=0.65)
        if name not in head and near:
            raise UserError(
                f"{path}:1: unknown column '{brief(spare[near[0]])}'", f"did you mean '{name}'? else rename it"
            )


def _check_id(path: Path, line: int, id: str, seen: dict[str, int]) -> None:
    if not id:
        raise UserError(f"{path}:{line}: an empty id", "every clip needs an id of its own")
    if id in seen:
        raise UserError(f"{path}:{line}: id '{brief(id)}' stands on line {seen[id]} already", "make ids unique")
    seen[id] = line
