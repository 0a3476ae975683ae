"""ASVspoof 2021 LA and DF: test recordings alone, after telephone channels (LA) or codecs (DF).

    ASVspoof2021_LA_eval/{ASVspoof2021.LA.cm.eval.trl.txt,flac/LA_E_9332881.flac}
    ASVspoof2021_DF_eval/..., or ASVspoof2021_DF_eval_part00/ASVspoof2021_DF_eval/flac/... to part03
    keys/{LA,DF}/CM/trial_metadata.txt, also in LA-keys-full/ or DF-keys-full/; keys/CM/... of their first stage

A key's line is `speaker id codec channel attack key trim subset ...` (DF: source in place of
channel, then vocoder and more); a bonafide one says `bonafide` as its attack too. The official
score is that of subset eval, which is the test here; progress and hidden are `extra`. Without keys
the list of ids is all there is: the recordings are scored, and not judged.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import EXTRA, Corpus, Layout, inside
from app.corpora.layouts.protocol import UNKNOWN, engine_named, label_of, read_protocol
from app.corpora.manifest import recording
from app.corpora.tables import brief
from app.errors import UserError
from app.runtime.rows import Rows

COLUMNS = ("speaker", "id", "codec", "", "attack", "key", "", "subset")
SUBSETS = {"eval": "test", "progress": EXTRA, "hidden": EXTRA}
SOURCE = (
    "X. Liu et al., ASVspoof 2021: towards spoofed and deepfake speech detection in the wild, "
    "IEEE/ACM Transactions on Audio, Speech and Language Processing 31, 2023"
)


def _audio(folder: Path, track: str) -> list[Path]:
    """Folders of flac, in parts or not."""
    name = f"ASVspoof2021_{track}_eval"
    places = [folder / name / "flac", *sorted(folder.glob(f"{name}_part*/{name}/flac"))]
    if folder.name == name:
        places.append(folder / "flac")
    return [place for place in places if place.is_dir()]


def _keys(folder: Path, track: str) -> Path | None:
    own = [folder / f"{track}-keys-{kind}" for kind in ("full", "stage-1")] + [folder / f"ASVspoof2021_{track}_eval"]
    found = [place / keys / track for place in (folder, *own) for keys in ("keys", ".")]
    # of the first stage the keys unpack without the track's name: beside that track alone they are its own
    other = "DF" if track == "LA" else "LA"
    found += [place / "keys" for place in ([*own] if _audio(folder, other) else [folder, *own])]
    return next((path for place in found if (path := place / "CM" / "trial_metadata.txt").is_file()), None)


def _read(folder: Path, how: TableConfig, track: str) -> Corpus:
    places, table, notes = _audio(folder, track), _keys(folder, track), []
    rows = Rows()
    if table is None:
        listed = [place.parent / f"ASVspoof2021.{track}.cm.eval.trl.txt" for place in places]
        listed += [place.parent.parent / f"ASVspoof2021.{track}.cm.eval.trl.txt" for place in places]
        table = next((path for path in listed if path.is_file()), None)
        if table is None:
            raise UserError(
                f"{folder}: neither keys nor a list of recordings (found flac, but no keys/{track}/CM/"
                f"trial_metadata.txt and no ASVspoof2021.{track}.cm.eval.trl.txt)",
                f"unpack {track}-keys-full.tar.gz of asvspoof.org in {folder}",
            )
        notes.append(
            f"{folder}: no keys/{track}/CM/trial_metadata.txt ({track}-keys-full.tar.gz of asvspoof.org): "
            "the recordings can be scored, and not judged"
        )
        for line, row in read_protocol(table, ("id",)):
            path = _path(folder, places, row["id"], f"{table}:{line}")
            rows.append(recording(id=row["id"], path=path, label=None, split="test"))
        return Corpus(rows, [str(table.relative_to(folder))], False, notes)
    for line, row in read_protocol(table, COLUMNS, more=True):
        if row["subset"] not in SUBSETS:
            raise UserError(
                f"{table}:{line}: subset '{brief(row['subset'])}' is none of {', '.join(SUBSETS)}",
                "take the keys as they are published",
            )
        known = recording(
            id=row["id"],
            path=_path(folder, places, row["id"], f"{table}:{line}"),
            label=label_of(row),
            split=SUBSETS[row["subset"]],
            speaker=None if row["speaker"] == UNKNOWN else row["speaker"],
            attack=engine_named(row["attack"], "LA"),
        )
        rows.append({**known, "codec": row["codec"]})
    return Corpus(rows, [str(table.relative_to(folder))], True, notes)


def _path(folder: Path, places: list[Path], id: str, where: str) -> str:
    """Where it lies; a recording that is in no part is one of the first, and missing there."""
    name = f"{id}.flac"
    place = next((place for place in places if (place / name).is_file()), places[0])
    return inside(folder, str(place.relative_to(folder) / name), where)


def layouts() -> Iterator[Layout]:
    for track in ("LA", "DF"):
        yield Layout(
            name=f"asvspoof2021_{track.lower()}",
            holds=f"ASVspoof2021_{track}_eval/flac/ (or its parts) and keys/{track}/CM/trial_metadata.txt",
            source=SOURCE,
            labels="key bonafide is (fake, real) = (0, 1), spoof is (1, 0)",
            fits=lambda folder, track=track: bool(_audio(folder, track)),  # type: ignore[misc]
            read=partial(_read, track=track),
        )
