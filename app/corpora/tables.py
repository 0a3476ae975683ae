"""CSV tables of a corpus, read strictly: every complaint names file and line."""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from app.corpora.text import open_text
from app.errors import UserError

Row = dict[str, str]

MOST_COLUMNS = 1000  # a table of more is something else
LONGEST_HEAD = 1 << 20  # characters; a longer first line is no head
SEPARATORS = ",;\t|"
FORMULA = re.compile(r"[=@]|[+-].*[^\w.-]", re.DOTALL)  # what a spreadsheet would run when it opens our tables


def read_table(
    path: Path, columns: Iterable[str], optional: Iterable[str] = (), id_column: str | None = "id"
) -> Iterator[tuple[int, Row]]:
    """(line number, row) of a CSV that must have `columns`, one after another.

    Commas, semicolons, tabs or bars separate, whichever shows the most of `columns` in the head (a first
    line `sep=;` is passed over); encodings as `open_text` has them; CRLF is fine. Raises UserError for what
    is missing, no file or in no known encoding, a column that is missing (with the nearest match) or stands
    twice, one that looks like an `optional` one mistyped, over 1000 columns, a row of the wrong length, and
    an id that is empty, repeated, a path or a formula.
    """
    columns, optional = list(columns), list(optional)
    with open_text(path) as file:
        head, before = file.readline(LONGEST_HEAD), 0
        if re.fullmatch(r"sep=.\s*", head):
            head, before = file.readline(LONGEST_HEAD), 1
        if len(head) == LONGEST_HEAD:
            raise UserError(f"{path}:{before + 1}: a first line of over {LONGEST_HEAD} characters", "give a table")
        separator = _separator(head, columns)
        reader = csv.reader(chain([head] if head else [], file), strict=True, delimiter=separator)
        yield from _rows(path, reader, before, columns, optional, id_column)


def head_of(path: Path, columns: Iterable[str]) -> list[str]:
    """Its columns, as read_table reads them; [] where it is no table that can be read."""
    try:
        with open_text(path) as file:
            head = file.readline(LONGEST_HEAD)
            if re.fullmatch(r"sep=.\s*", head):
                head = file.readline(LONGEST_HEAD)
        return next(csv.reader([head], strict=True, delimiter=_separator(head, list(columns))), [])
    except (UserError, csv.Error):
        return []


def choice(path: Path, line: int, column: str, value: str, allowed: Iterable[str]) -> str:
    """`value`, if it is one of `allowed`; else a UserError with the nearest match."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(value.strip().lower(), allowed, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(allowed)}"
    raise UserError(f"{path}:{line}: {column}: unknown value '{brief(value)}'", hint)


def check_id(path: Path, line: int, id: str, seen: dict[str, int]) -> None:
    """Raises UserError unless `id` may name a clip; `seen`: id -> line of those before it, which it then joins.

    Ids stand in the tables that we write and, some of them, in names of files: no path, no control
    character, nothing that a spreadsheet would run.
    """
    if not id.strip():
        raise UserError(f"{path}:{line}: an empty id", "every clip needs an id of its own")
    if FORMULA.match(id):
        raise UserError(
            f"{path}:{line}: id '{brief(id)}' is a formula, which a spreadsheet would run", "begin it with a letter"
        )
    if "/" in id or "\\" in id or id in (".", ".."):
        raise UserError(f"{path}:{line}: id '{brief(id)}' is a path", "an id is a name without slashes")
    if not id.isprintable():
        raise UserError(
            f"{path}:{line}: id '{brief(id)}' holds a control character", "keep to letters, digits, - and _"
        )
    if id in seen:
        raise UserError(f"{path}:{line}: id '{brief(id)}' stands on line {seen[id]} already", "make ids unique")
    seen[id] = line


def brief(text: str, most: int = 80) -> str:
    """At most so many characters of a cell, for a message: what a terminal would act on is spelled out."""
    seen = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text[:most])
    return seen if len(text) <= most else f"{seen}..."


def _separator(head: str, columns: list[str]) -> str:
    """The one that shows the most of the columns wanted; a comma where none does."""

    def shown(separator: str) -> int:
        try:
            return len({*next(csv.reader([head], delimiter=separator), [])} & {*columns})
        except csv.Error:
            return 0

    return max(SEPARATORS, key=shown)


def _rows(
    path: Path, reader: Any, before: int, columns: list[str], optional: list[str], id_column: str | None
) -> Iterator[tuple[int, Row]]:
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
            line = before + reader.line_num
            if len(cells) != len(head):
                raise UserError(
                    f"{path}:{line}: {len(cells)} cells, the head has {len(head)}",
                    "mend that line; quote cells that hold a comma",
                )
            row = dict(zip(head, cells, strict=True))
            if id_column in row:
                check_id(path, line, row[id_column], seen)
            yield line, row
    except csv.Error as error:
        line = before + reader.line_num
        raise UserError(f"{path}:{line}: not a readable CSV ({error})", "mend the quotes there") from None


def _check_head(path: Path, head: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if name not in head:
            lower = {column.lower(): column for column in head}
            near = difflib.get_close_matches(name, lower, n=1, cutoff=0.5)
            columns = brief(", ".join(head), 200) or "none"
            hint = f"rename '{brief(lower[near[0]])}' to '{name}'" if near else f"add it; the columns are: {columns}"
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
