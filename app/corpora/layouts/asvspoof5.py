"""ASVspoof 5, track 1: crowdsourced voices, 32 attacks, none of them in two parts, codecs in eval alone.

    ASVspoof5.{train,dev.track_1,eval.track_1}.tsv, here or in ASVspoof5_protocols/
    flac_T/T_0000000000.flac, flac_D/, flac_E_eval/

The tables are called tsv and parted by spaces: `speaker id gender codec codec_q codec_seed
attack_tag attack key -`. A coded recording names the one that it was coded from. Train and dev are
learnt from, eval is the test.
"""

from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import Corpus, Layout, inside
from app.corpora.layouts.protocol import UNKNOWN, engine_named, label_of, read_protocol
from app.corpora.manifest import recording
from app.runtime.rows import Rows

PARTS = {"train": ("flac_T", "train"), "dev.track_1": ("flac_D", "train"), "eval.track_1": ("flac_E_eval", "test")}
COLUMNS = ("speaker", "id", "", "codec", "", "codec_seed", "", "attack", "key", "")


def _tables(folder: Path) -> dict[str, Path]:
    """Part -> its table, of those that are there."""
    found: dict[str, Path] = {}
    for part in PARTS:
        name = f"ASVspoof5.{part}.tsv"
        for path in (folder / name, folder / "ASVspoof5_protocols" / name):
            if path.is_file():
                found.setdefault(part, path)
    return found


def _read(folder: Path, how: TableConfig) -> Corpus:
    rows, found = Rows(), _tables(folder)
    missing = [part for part in PARTS if part not in found]
    notes = [f"{folder}: no ASVspoof5.{part}.tsv: {part} is left out" for part in missing]
    for part, table in found.items():
        place, split = PARTS[part]
        for line, row in read_protocol(table, COLUMNS):
            known = recording(
                id=row["id"],
                path=inside(folder, f"{place}/{row['id']}.flac", f"{table}:{line}"),
                label=label_of(row),
                split=split,
                speaker=row["speaker"],
                attack=engine_named(row["attack"], "ASVspoof5"),
                language="en",
                parent=None if row["codec_seed"] == UNKNOWN else row["codec_seed"],
            )
            rows.append({**known, "codec": "none" if row["codec"] == UNKNOWN else row["codec"]})
    return Corpus(rows, [str(table.relative_to(folder)) for table in found.values()], True, notes)


LAYOUT = Layout(
    name="asvspoof5",
    holds="ASVspoof5.train.tsv (or in ASVspoof5_protocols/) and flac_T/, flac_D/, flac_E_eval/",
    source="X. Wang et al., ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at scale, "
    "ASVspoof Workshop 2024, doi 10.21437/ASVspoof.2024-1",
    labels="key bonafide is (fake, real) = (0, 1), spoof is (1, 0)",
    fits=lambda folder: bool(_tables(folder)),
    read=_read,
)
