"""submission.csv: written whole, in the order of the sample, and checked as the contest would."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import UserError
from app.runtime.files import replacing

COLUMNS = {"id", "fake", "real"}
AGAIN = "run `make infer` again: it writes the rows in the order of the sample"


@dataclass(frozen=True)
class Sheet:
    """A CSV: header, and (line, cells) of every row that is not blank."""

    header: list[str]
    rows: list[tuple[int, list[str]]]


def write_submission(path: Path, sample_path: Path, scores: Mapping[str, tuple[float, float]]) -> None:
    """Writes id -> (p_fake, p_real) in the rows and columns of the sample.

    Nothing is at `path`, or what was there before, unless the new file passes
    `check_submission`. Raises UserError, also on ids missing or unknown.
    """
    sample = _read_sample(sample_path)
    at = sample.header.index("id")
    ids = [cells[at] for _, cells in sample.rows]
    for what, names in (
        ("in the sample have no score", [i for i in dict.fromkeys(ids) if i not in scores]),
        ("with a score are not in the sample", sorted(set(scores) - set(ids))),
    ):
        if names:
            raise UserError(
                f"{path}: {len(names)} ids {what} ({sample_path}): {_first(names)}",
                "infer on exactly the clips of the sample",
            )
    with replacing(path) as draft:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            out = csv.writer(stream, lineterminator="\n")
            out.writerow(sample.header)
            for i in ids:
                value = {"id": i, "fake": repr(float(scores[i][0])), "real": repr(float(scores[i][1]))}
                out.writerow([value[column] for column in sample.header])
        _check(_read(draft, shown=path), sample, path, sample_path)


def check_submission(path: Path, sample_path: Path) -> None:
    """Raises UserError naming file, line, column and fix if the contest would refuse or misread `path`.

    Columns and their order, ids (missing, unknown, twice, order) and values
    (numbers in [0, 1]). A byte-order mark, CRLF and blank lines are let pass, as
    the contest's reader does.
    """
    _check(_read(path, path), _read_sample(sample_path), path, sample_path)


def _check(sheet: Sheet, sample: Sheet, path: Path, sample_path: Path) -> None:
    if sheet.header != sample.header:
        raise UserError(
            f"{path}: line 1: columns {','.join(sheet.header) or 'none'},"
            f" but {sample_path} has {','.join(sample.header)}",
            "give it exactly the columns of the sample, in that order",
        )
    problems = list(_bad_cells(sheet)) or list(_bad_ids(sheet, sample))
    if problems:
        more = f"\n{path}: and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError("\n".join(f"{path}: {problem}" for problem in problems[:5]) + more, AGAIN)


def _bad_cells(sheet: Sheet) -> Iterator[str]:
    for line, cells in sheet.rows:
        if len(cells) != len(sheet.header):
            yield f"line {line}: {len(cells)} cells, not {len(sheet.header)}"
            continue
        for column, cell in zip(sheet.header, cells, strict=True):
            value = math.nan if column == "id" else _number(cell)
            if column == "id" and not cell:
                yield f"line {line}, column id: empty"
            elif column != "id" and not math.isfinite(value):
                yield f"line {line}, column {column}: {cell!r} is not a finite number"
            elif column != "id" and not 0 <= value <= 1:
                yield f"line {line}, column {column}: {cell} lies outside [0, 1]"


def _bad_ids(sheet: Sheet, sample: Sheet) -> Iterator[str]:
    at = sheet.header.index("id")
    wanted = [cells[at] for _, cells in sample.rows]
    known, seen = set(wanted), dict[str, int]()
    for line, cells in sheet.rows:
        name = cells[at]
        if name in seen:
            yield f"line {line}, column id: {name!r} was already on line {seen[name]}"
        elif name not in known:
            yield f"line {line}, column id: {name!r} is not in the sample"
        seen.setdefault(name, line)
    missing = [name for name in wanted if name not in seen]
    if missing:
        yield f"line {sheet.rows[-1][0] if sheet.rows else 1}, column id: {len(missing)} missing: {_first(missing)}"
    elif len(seen) == len(sheet.rows) == len(wanted):
        for (line, cells), name in zip(sheet.rows, wanted, strict=True):
            if cells[at] != name:
                yield f"line {line}, column id: {cells[at]!r} where the sample has {name!r}"
                return


def _read_sample(path: Path) -> Sheet:
    sheet = _read(path, path)
    fix = "take the contest's own sample_submission.csv"
    if len(sheet.header) != 3 or set(sheet.header) != COLUMNS:
        raise UserError(f"{path}: line 1: columns {','.join(sheet.header) or 'none'}, not id, fake and real", fix)
    at, seen = sheet.header.index("id"), set[str]()
    for line, cells in sheet.rows:
        if len(cells) != 3 or not cells[at] or cells[at] in seen:
            raise UserError(f"{path}: line {line}, column id: missing or given twice: {','.join(cells)}", fix)
        seen.add(cells[at])
    if not seen:
        raise UserError(f"{path}: no rows", fix)
    return sheet


def _read(path: Path, shown: Path) -> Sheet:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            return Sheet(header, [(reader.line_num, cells) for cells in reader if cells])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{shown}: cannot be read as CSV: {error}", "give a UTF-8 CSV with columns id,fake,real"
        ) from None


def _number(cell: str) -> float:
    try:
        # float() also takes 0_1 and digits of other scripts; the contest's reader does not
        return float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        return math.nan


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
