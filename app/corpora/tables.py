"""CSV tables of a corpus, read strictly: every complaint names file and line."""

import csv
import difflib
import io
from collections.abc import Iterable
from pathlib import Path

from app.errors import UserError

Row = dict[str, str]

MOST_COLUMNS = 1000  # a table of more is something else


def read_table(path: Path, columns: Iterable[str], optional: Iterable[str] = ()) -> list[tuple[int, Row]]:
    """(line number, row) of a CSV that must have `columns`; a BOM and CRLF are fine.

    Raises UserError for what is missing, no file or no UTF-8, a column that is missing
    (with the nearest match) or stands twice, one that looks like an `optional` one
    mistyped, over 1000 columns, a row of the wrong length and a repeated id.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows = []
    try:
        head = next(reader, [])
        if len(head) > MOST_COLUMNS:
            raise UserError(f"{path}:1: {len(head)} columns", f"keep the few that are needed: {', '.join(columns)}")
        _check_head(path, head, list(columns))
        _check_optional(path, head, list(columns), list(optional))
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(head):
                raise UserError(
                    f"{path}:{reader.line_num}: {len(cells)} cells, the head has {len(head)}",
                    "mend that line; quote cells that hold a comma",
                )
            rows.append((reader.line_num, dict(zip(head, cells, strict=True))))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a readable CSV ({error})", "mend the quotes there") from None
    if "id" in head:
        _check_ids(path, rows)
    return rows


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


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe is waited for, a device never ends
            raise UserError(f"{path}: not a file", "it must be a table, not a pipe or device")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "point DATA=... at the folder that holds it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "it must be a file that you may read") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
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


def _check_ids(path: Path, rows: list[tuple[int, Row]]) -> None:
    seen: dict[str, int] = {}
    for line, row in rows:
        if not row["id"]:
            raise UserError(f"{path}:{line}: an empty id", "every clip needs an id of its own")
        if row["id"] in seen:
            raise UserError(
                f"{path}:{line}: id '{brief(row['id'])}' stands on line {seen[row['id']]} already", "make ids unique"
            )
        seen[row["id"]] = line
