"""Protocols as ASVspoof publishes them: lines of words parted by spaces, no head, one recording a line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.corpora.manifest import BONAFIDE
from app.corpora.tables import Row, brief, check_id, choice
from app.corpora.text import open_text
from app.errors import UserError

KEYS = {"bonafide": (0, 1), "spoof": (1, 0)}  # (fake, real)
UNKNOWN = "-"


def read_protocol(path: Path, columns: Sequence[str], more: bool = False) -> Iterator[tuple[int, Row]]:
    """(line, {column: word}) of each line; a column named "" is passed over, and so is what follows with `more`.

    `id` must be a name of its own, `key` one of KEYS, and `attack` fits it: `bonafide` or - for a real voice, whichever
    the year wrote, and comes as BONAFIDE; an engine for a spoof. Raises UserError naming file and line.
    """
    seen: dict[str, int] = {}
    with open_text(path) as file:
        for line, text in enumerate(file, 1):
            words = text.split()
            if not words:
                continue
            if len(words) < len(columns) or (len(words) > len(columns) and not more):
                wanted = f"{len(columns)}{' or more' if more else ''}"
                raise UserError(
                    f"{path}:{line}: {len(words)} words, {wanted} are expected: {brief(text.strip())}",
                    f"take the protocol as it is published: {' '.join(name or UNKNOWN for name in columns)}",
                )
            row = {name: word for name, word in zip(columns, words, strict=False) if name}
            check_id(path, line, row["id"], seen)
            if "key" in row:
                _check_attack(path, line, row)
            yield line, row


def engine_named(attack: str, years: str) -> str:
    """A05 of one ASVspoof is another engine than A05 of another; years: whose code it is."""
    return f"{years}-{attack}" if re.fullmatch(r"A\d\d", attack) else attack


def label_of(row: Row) -> tuple[int, int]:
    """(fake, real)."""
    return KEYS[row["key"]]


def _check_attack(path: Path, line: int, row: Row) -> None:
    choice(path, line, "key", row["key"], KEYS)
    named = row.get("attack", UNKNOWN) not in (UNKNOWN, BONAFIDE)
    if named != (row["key"] == "spoof"):
        raise UserError(
            f"{path}:{line}: attack '{brief(row['attack'])}' of a recording with key '{row['key']}'",
            "take the protocol as it is published; are its columns in their order?",
        )
    if row["key"] == BONAFIDE:
        row["attack"] = BONAFIDE
