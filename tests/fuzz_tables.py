"""Numbered corpora whose tables are wrong in some way. Reading them gives rows, or a UserError that names the table.

    python -m tests.fuzz_tables SEED FIRST COUNT FOLDER

reads that many in this process and prints one JSON line for each that gives something else.
"""

import csv
import io
import json
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from app.corpora.labels import read_labels
from app.corpora.layouts.contest import read_contest
from app.errors import UserError
from tests.mutations import draw, spoil

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
TABLES = ("train.csv", "meta.csv", "test.csv", "test_labels.csv")
LONGEST = 2000  # characters of a message that a person reads
ENCODINGS = ("cp949", "euc-kr", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp500")
WORDS = (
    *("", " ", "real", "fake", "Real", "REAL ", "rea1", "0", "1", "-1", "1.0", "nan", "None", "bonafide", "목소리"),
    *("../../x", "../train.csv", "/etc/passwd", "/", ".", "..", "~/x", "train/../../x", "C:\\x", "\\\\host\\x"),
    *("a\0b", "x" * 5000, "x/" * 3000, "x" * 200_000, '"', '""', "'", "a\nb", "a\r\nb", "\r", ";", "\t", "=cmd()"),
    *("\u2028", "\ufeff", "\x1b[31m", "e\u0301", "\u00e9", "\U0001f600", "a,b", "id", "id,path,label", "\x7f", "\x80"),
    *("[" * 100_000, "[" + "9" * 5000 + "]", '[{"attack": ["x"]}]', '[{"attack": {}, "language": 1e999}]', "[[]]"),
    *("{}", "null", "%s%n", "${x}"),
)
Rows = list[list[str]]


def spoiled_tables(seed: int, n: int) -> tuple[dict[str, bytes], str]:
    """(name -> bytes of each table, what was done) of number n: one or two are wrong, the others as they were."""
    rng = random.Random(f"tables/{seed}/{n}")
    done, tables = [], {name: (DEMO / name).read_bytes() for name in TABLES}
    for name in rng.sample(TABLES, rng.choice((1, 1, 1, 2))):
        how = rng.choice(("rows", "rows", "rows", "text", "bytes"))
        if how == "bytes":
            steps = draw(rng)
            tables[name] = spoil(tables[name], steps)
            done.append(f"{name}: {[step.kind for step in steps]}")
        else:
            kind = rng.choice(sorted(ROWS if how == "rows" else TEXT))
            if how == "rows":
                rows = list(csv.reader(io.StringIO(tables[name].decode(), newline="")))
                tables[name] = as_csv(ROWS[kind](rows, rng)).encode()
            else:
                tables[name] = TEXT[kind](tables[name].decode(), rng)
            done.append(f"{name}: {kind}")
    return tables, "; ".join(done)


def write_tables(tables: dict[str, bytes], folder: Path) -> None:
    for name, content in tables.items():
        (folder / name).write_bytes(content)


def verdict(folder: Path) -> tuple[str, str]:
    """("rows" | "refused" | "bug", what was said) of the tables in a folder."""
    for name, read in (("", lambda: read_contest(folder)), (TABLES[-1], lambda: read_labels(folder / TABLES[-1]))):
        try:
            read()
        except UserError as error:
            said = str(error)
            named = any(str(folder / table) in said for table in TABLES) if not name else str(folder / name) in said
            if not (named or str(folder) in error.what) or not error.fix or len(said) > LONGEST:
                return "bug", f"a message of {len(said)} characters: {said[:500]}"
            return "refused", said
        except Exception:
            return "bug", traceback.format_exc(limit=-3)[-1500:]
    return "rows", ""


def as_csv(rows: Rows, **how: str) -> str:
    out = io.StringIO()
    csv.writer(out, **how).writerows(rows)
    return out.getvalue()


def _cell(rows: Rows, rng: random.Random) -> Rows:
    """One to five cells hold something else."""
    for _ in range(rng.randint(1, 5)):
        row = rng.choice(rows[1:])
        row[rng.randrange(len(row))] = rng.choice(WORDS)
    return rows


def _head(rows: Rows, rng: random.Random) -> Rows:
    at = rng.randrange(len(rows[0]))
    name = rows[0][at]
    rows[0][at] = rng.choice(
        (*WORDS, name.upper(), f" {name}", name[:-1], f"{name}s", name[::-1], rng.choice(rows[0]), "lable", "speker")
    )
    return rows


def _column(rows: Rows, rng: random.Random) -> Rows:
    """A column is missing, doubled, or stands elsewhere."""
    at, to = rng.randrange(len(rows[0])), rng.randrange(len(rows[0]))
    how = rng.randrange(3)
    for row in rows:
        cell = row[at] if how == 1 else row.pop(at)
        if how:
            row.insert(to, cell)
    return rows


def _row(rows: Rows, rng: random.Random) -> Rows:
    """A row is doubled, short, long, empty, the head again, or all are shuffled."""
    at, how = rng.randrange(1, len(rows)), rng.randrange(6)
    changed = [[rows[at]] * 2, [rows[at][:-1]], [[*rows[at], "x"]], [[]], [rows[0]], [[""] * len(rows[0])]][how]
    return [*rows[:at], *changed, *rows[at + 1 :]]


def _many_columns(rows: Rows, rng: random.Random) -> Rows:
    count = rng.choice((100, 2000, 100_000))
    more = rng.choice(([f"c{n}" for n in range(count)], [""] * count, ["speakers"] * count))
    return [[*rows[0], *more], *([*row, *[""] * count] for row in rows[1 : rng.choice((1, 3, 20))])]


def _many_rows(rows: Rows, rng: random.Random) -> Rows:
    return [rows[0], *([f"row{n}", *rows[1][1:]] for n in range(rng.choice((0, 1, 5000))))]


def _text(text: str, rng: random.Random) -> bytes:
    at = rng.randrange(len(text))
    return (text[:at] + rng.choice(WORDS) + text[at:]).encode()


ROWS: dict[str, Callable[[Rows, random.Random], Rows]] = {
    "cells": _cell,
    "more cells": _cell,
    "most cells": _cell,
    "head": _head,
    "columns": _column,
    "row": _row,
    "many columns": _many_columns,
    "many rows": _many_rows,
    "one column": lambda rows, rng: [row[:1] for row in rows],
    "turned": lambda rows, rng: [list(column) for column in zip(*rows, strict=False)],
}
TEXT: dict[str, Callable[[str, random.Random], bytes]] = {
    "word": _text,
    "another word": _text,
    "nothing": lambda text, rng: b"",
    "spaces": lambda text, rng: b" \n \n\n",
    "head alone": lambda text, rng: text.splitlines()[0].encode(),
    "cut": lambda text, rng: text.encode()[: rng.randrange(len(text))],
    "encoding": lambda text, rng: (text + "목소리,목소리\n").encode(rng.choice(ENCODINGS), "replace"),
    "byte order marks": lambda text, rng: b"\xef\xbb\xbf" * rng.randint(1, 3) + text.encode(),
    "semicolons": lambda text, rng: text.replace(",", ";").encode(),
    "tabs": lambda text, rng: text.replace(",", "\t").encode(),
    "old line ends": lambda text, rng: text.replace("\n", rng.choice(("\r", "\n\r", "\r\r\n"))).encode(),
    "no line ends": lambda text, rng: text.replace("\n", " ").encode(),
    "all quoted": lambda text, rng: as_csv(list(csv.reader(io.StringIO(text))), quoting=csv.QUOTE_ALL).encode(),
    "single quotes": lambda text, rng: text.replace(",", "','").encode(),
    "an open quote": lambda text, rng: ('"' + text).encode(),
    "twice": lambda text, rng: (text + text).encode(),
    "NULs": lambda text, rng: text.replace(rng.choice("aeiou,\n"), "\0").encode(),
    "a page": lambda text, rng: b"<!DOCTYPE html><html><body>Not Found</body></html>",
    "a workbook": lambda text, rng: b"PK\x03\x04" + rng.randbytes(500),
    "a pointer": lambda text, rng: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n",
}


def main() -> None:
    seed, first, count = map(int, sys.argv[1:4])
    folder = Path(sys.argv[4])
    found = {"rows": 0, "refused": 0, "bug": 0}
    for n in range(first, first + count):
        (folder / "at").write_text(str(n))  # should the process not come back
        tables, done = spoiled_tables(seed, n)
        write_tables(tables, folder)
        how, said = verdict(folder)
        found[how] += 1
        if how == "bug":
            print(json.dumps({"n": n, "done": done, "said": said}), flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
