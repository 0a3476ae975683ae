"""ASVspoof 2019 LA: 107 VCTK speakers, attacks A01 to A06 in train and dev, A07 to A19 in eval alone.

    LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{train.trn,dev.trl,eval.trl}.txt
    LA/ASVspoof2019_LA_{train,dev,eval}/flac/LA_T_1138215.flac

A line is `speaker id - attack key`; the third word has a meaning in PA alone. Train and dev
are learnt from, eval is the test.
"""

from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import Corpus, Layout, inside
from app.corpora.layouts.protocol import engine_named, label_of, read_protocol
from app.corpora.manifest import recording
from app.errors import UserError
from app.runtime.rows import Rows

PROTOCOLS = "ASVspoof2019_LA_cm_protocols"
PARTS = {"train.trn": "train", "dev.trl": "train", "eval.trl": "test"}
COLUMNS = ("speaker", "id", "", "attack", "key")


def _root(folder: Path) -> Path | None:
    return next((place for place in (folder, folder / "LA") if (place / PROTOCOLS).is_dir()), None)


def _read(folder: Path, how: TableConfig) -> Corpus:
    root = _root(folder) or folder
    rows, tables, notes = Rows(), [], []
    for part, split in PARTS.items():
        name = part.split(".")[0]
        table = root / PROTOCOLS / f"ASVspoof2019.LA.cm.{part}.txt"
        if not table.exists():
            notes.append(f"{table} is missing: {name} is left out")
            continue
        tables.append(str(table.relative_to(folder)))
        place = (root / f"ASVspoof2019_LA_{name}" / "flac").relative_to(folder)
        for line, row in read_protocol(table, COLUMNS):
            path = inside(folder, str(place / f"{row['id']}.flac"), f"{table}:{line}")
            rows.append(
                recording(
                    id=row["id"],
                    path=path,
                    label=label_of(row),
                    split=split,
                    speaker=row["speaker"],
                    attack=engine_named(row["attack"], "LA"),
                    language="en",
                )
            )
    if not tables:
        raise UserError(f"{root / PROTOCOLS}: holds no ASVspoof2019.LA.cm.*.txt", "unpack LA.zip as it is published")
    return Corpus(rows, tables, True, notes)


LAYOUT = Layout(
    name="asvspoof2019_la",
    holds=f"{PROTOCOLS}/ and ASVspoof2019_LA_train/flac/, here or in LA/",
    source="X. Wang et al., ASVspoof 2019: a large-scale public database of synthesized, converted and replayed "
    "speech, Computer Speech and Language 64, 2020",
    labels="key bonafide is (fake, real) = (0, 1), spoof is (1, 0)",
    fits=lambda folder: _root(folder) is not None,
    read=_read,
)
