"""In-the-Wild: 31,779 recordings of 58 public persons, real ones and fakes found in social networks.

    release_in_the_wild/{meta.csv,0.wav,1.wav,...}

meta.csv is `file,speaker,label`, label `bona-fide` or `spoof`; which engine spoke is not known. It has no parts:
all of it is learnt from, or, as `test.data`, all of it is the test.
"""

from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import Corpus, Layout, inside
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.tables import choice, head_of, read_table
from app.runtime.rows import Rows

LABELS = {"bona-fide": (0, 1), "spoof": (1, 0)}
HEAD = ["file", "speaker", "label"]


def _root(folder: Path) -> Path | None:
    for place in (folder, folder / "release_in_the_wild"):
        table = place / "meta.csv"
        if table.is_file() and not (place / "train.csv").exists() and head_of(table, HEAD) == HEAD:
            return place
    return None


def _read(folder: Path, how: TableConfig) -> Corpus:
    root, rows = _root(folder) or folder, Rows()
    table, place = root / "meta.csv", str(root.relative_to(folder))
    for line, row in read_table(table, HEAD, id_column="file"):
        label = LABELS[choice(table, line, "label", row["label"], LABELS)]
        path = inside(folder, str(Path(place, row["file"])), f"{table}:{line}")
        rows.append(
            recording(
                id=Path(row["file"]).stem,
                path=path,
                label=label,
                split="train",
                speaker=row["speaker"],
                attack=BONAFIDE if label[1] else None,
                language="en",
            )
        )
    return Corpus(rows, [str(table.relative_to(folder))], True)


LAYOUT = Layout(
    name="in_the_wild",
    holds="meta.csv (file,speaker,label with bona-fide and spoof), here or in release_in_the_wild/",
    source="N. M. Müller et al., Does audio deepfake detection generalize?, Interspeech 2022",
    labels="label bona-fide is (fake, real) = (0, 1), spoof is (1, 0)",
    fits=lambda folder: _root(folder) is not None,
    read=_read,
)
