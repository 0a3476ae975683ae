"""The contest layout: train.csv (id,path,label), test.csv (id,path), folders of .ogg, meta.csv where there is one.

Label sense: label "real" is (fake, real) = (0, 1), "fake" is (1, 0). meta.csv may
give speaker, attack, language and parent (the id of the recording that was copied).
test_labels.csv (id,fake,real, and what else is known of a mixture) is read by
evaluate alone.
"""

from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import NamedTuple

from app.corpora.manifest import BONAFIDE, recording
from app.corpora.tables import brief, choice, read_table
from app.errors import UserError
from app.runtime.rows import Rows

LABELS = {"fake": (1, 0), "real": (0, 1)}
AUDIO = {".ogg", ".wav", ".flac", ".mp3", ".opus", ".oga", ".aif", ".aiff"}


@dataclass(frozen=True)
class Corpus:
    rows: Rows  # split: train, test or unlabeled
    tables: list[str]  # the files that were read beside the audio, relative
    has_meta: bool


class Meta(NamedTuple):
    """A line of meta.csv; empty texts where nothing is known."""

    line: int
    speaker: str
    attack: str
    language: str
    parent: str


UNKNOWN = Meta(0, "", "", "", "")


def read_contest(folder: Path) -> Corpus:
    """All recordings of a corpus in the contest layout.

    Raises UserError, naming file and line, for whatever is missing, doubled or unknown,
    and for a path that leaves the corpus folder.
    """
    if not (folder / "train.csv").exists():
        holds = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
        raise UserError(
            f"{folder}: not in the contest layout, train.csv is missing (found: {holds or 'nothing'})",
            "DATA=... must hold train.csv (id,path,label) and its audio; see docs/data.md",
        )
    tables = ["train.csv"]
    meta = {}
    if (folder / "meta.csv").exists():
        meta = _meta(folder / "meta.csv")
        tables.append("meta.csv")
    rows = Rows()
    table = folder / "train.csv"
    for line, row in read_table(table, ["id", "path", "label"]):
        label = LABELS[choice(table, line, "label", row["label"], LABELS)]
        known = meta.get(row["id"], UNKNOWN)
        if known.attack and (known.attack == BONAFIDE) != (label == LABELS["real"]):
            raise UserError(
                f"{folder / 'meta.csv'}:{known.line}: attack '{brief(known.attack)}' of a clip that "
                f"{table}:{line} calls {row['label']}",
                f"a real voice has the attack '{BONAFIDE}' or none, a fake one the name of its engine",
            )
        path = _inside(folder, row["path"], table, line)
        told = {key: value for key, value in known._asdict().items() if key != "line"}
        rows.append(recording(id=row["id"], path=path, label=label, split="train", **told))
    if (folder / "test.csv").exists():
        table = folder / "test.csv"
        tables.append("test.csv")
        for line, row in read_table(table, ["id", "path"]):
            path = _inside(folder, row["path"], table, line)
            rows.append(recording(id=row["id"], path=path, label=None, split="test"))
    for file in sorted((folder / "unlabeled_data").glob("*")):
        if file.suffix.lower() in AUDIO:
            path = str(file.relative_to(folder))
            rows.append(recording(id=file.stem, path=path, label=None, split="unlabeled"))
    _check_across(folder, rows)
    return Corpus(rows, tables, bool(meta))


def _meta(path: Path) -> dict[str, Meta]:
    found = {}
    for line, row in read_table(path, ["id", "speaker", "attack"], ["language", "parent"]):
        told = (row.get(key, "") for key in Meta._fields[1:])
        found[row["id"]] = Meta(line, *map(intern, told))  # names repeat
    return found


def _inside(folder: Path, path: str, table: Path, line: int) -> str:
    """The path, normalised; the file may be missing (that is for failed.jsonl), but it may not lie elsewhere."""
    if Path(path).is_absolute():  # even one inside: a corpus that moves is the same corpus
        raise UserError(f"{table}:{line}: path '{brief(path)}' is absolute", "write it relative to the corpus folder")
    try:
        inside = (folder / path).resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError) as error:  # a NUL; links that go round
        raise UserError(
            f"{table}:{line}: path '{brief(path)}': {brief(str(error))}", "give the path of a file"
        ) from None
    if not inside:
        raise UserError(f"{table}:{line}: path '{brief(path)}' leaves the corpus folder", "keep all audio inside DATA")
    return str(Path(path))


def _check_across(folder: Path, rows: Rows) -> None:
    if not any(row["fake"] for row in rows) or not any(row["real"] for row in rows):
        raise UserError(
            f"{folder / 'train.csv'}: both labels, real and fake, are needed", "add clips of the missing one"
        )
    seen: dict[str, str] = {}
    for row in rows:
        if row["id"] in seen:
            raise UserError(
                f"{folder}: id '{brief(row['id'])}' is both a {seen[row['id']]} and a {row['split']} clip",
                "make ids unique",
            )
        seen[row["id"]] = row["split"]
