"""The contest layout: train.csv (id,path,label), test.csv (id,path), folders of .ogg, meta.csv where there is one.

Label sense: label "real" is (fake, real) = (0, 1), "fake" is (1, 0). meta.csv may
give speaker, attack, language, parent (the id of the recording that was copied) and source.
test_labels.csv (id,fake,real, and what else is known of a mixture) is read by
evaluate alone.
"""

from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from app.config import TableConfig
from app.corpora.corpus import AUDIO, Corpus, Layout, inside
from app.corpora.labels import read_labels
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.tables import brief, choice, read_table
from app.errors import UserError
from app.runtime.rows import Rows

LABELS = {"fake": (1, 0), "real": (0, 1)}


class Meta(NamedTuple):
    """A line of meta.csv; empty texts where nothing is known."""

    line: int
    speaker: str
    attack: str
    language: str
    parent: str
    source: str


UNKNOWN = Meta(0, "", "", "", "", "")


def read_contest(folder: Path, how: TableConfig | None = None) -> Corpus:
    """All recordings of a corpus in the contest layout.

    Raises UserError, naming file and line, for whatever is missing, doubled or unknown,
    and for a path that leaves the corpus folder.
    """
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
        path = inside(folder, row["path"], f"{table}:{line}")
        told = {key: value for key, value in known._asdict().items() if key != "line"}
        rows.append(recording(id=row["id"], path=path, label=label, split="train", **told))
    if (folder / "test.csv").exists():
        table = folder / "test.csv"
        tables.append("test.csv")
        for line, row in read_table(table, ["id", "path"]):
            path = inside(folder, row["path"], f"{table}:{line}")
            rows.append(recording(id=row["id"], path=path, label=None, split="test"))
    for file in sorted((folder / "unlabeled_data").glob("*")):
        if file.suffix.lower() in AUDIO:
            path = str(file.relative_to(folder))
            rows.append(recording(id=file.stem, path=path, label=None, split="unlabeled"))
    return Corpus(rows, tables, bool(meta))


def _meta(path: Path) -> dict[str, Meta]:
    found = {}
    for line, row in read_table(path, ["id", "speaker", "attack"], ["language", "parent", "source"]):
        told = (row.get(key, "") for key in Meta._fields[1:])
        found[row["id"]] = Meta(line, *map(intern, told))  # names repeat
    return found


def _answers(folder: Path, labels: Path) -> list[dict[str, Any]]:
    return read_labels(labels)


LAYOUT = Layout(
    name="contest",
    holds="train.csv (id,path,label), and its audio",
    source="the contest of DACON 2024, 'SW-centred university digital competition: AI' (236253)",
    labels="label real is (fake, real) = (0, 1), fake is (1, 0)",
    fits=lambda folder: (folder / "train.csv").exists(),
    read=read_contest,
    answers=_answers,
)
