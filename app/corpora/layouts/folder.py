"""A plain folder: real/ and fake/, at the top or within train/ and test/; the names tell the labels.

    real/x.wav or real/SPEAKER/x.wav, fake/y.wav or fake/ENGINE/y.wav
    training/real/, validation/fake/, testing/real/ and the like (as the Fake-or-Real corpus has it)

A folder below real/ is a speaker, one below fake/ an engine. Validation is split anew, by whole speakers and engines.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.config import TableConfig
from app.corpora.corpus import AUDIO, RENAME, Corpus, Layout, inside, is_plain
from app.corpora.manifest import BONAFIDE, recording
from app.corpora.tables import brief
from app.errors import UserError
from app.runtime.rows import Rows

LABELS = {
    **dict.fromkeys(("real", "bonafide", "bona-fide", "genuine", "human"), (0, 1)),
    **dict.fromkeys(("fake", "spoof", "spoofed", "deepfake", "synthetic"), (1, 0)),
}
SPLITS = {
    **dict.fromkeys(("train", "training", "valid", "validation", "val", "dev"), "train"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}


def _parts(folder: Path) -> Iterator[tuple[Path, tuple[int, int], str]]:
    """(folder, label, split), in the order of their names."""
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not place.is_dir():
            continue
        if place.name.lower() in LABELS:
            yield place, LABELS[place.name.lower()], "train"
        elif place.name.lower() in SPLITS:
            for below in sorted(place.iterdir()):
                if below.is_dir() and below.name.lower() in LABELS:
                    yield below, LABELS[below.name.lower()], SPLITS[place.name.lower()]


def _fits(folder: Path) -> bool:
    return {label for _, label, split in _parts(folder) if split == "train"} == {(0, 1), (1, 0)}


def _read(folder: Path, how: TableConfig) -> Corpus:
    rows, passed, named, odd = Rows(), Counter[str](), False, list[str]()
    for part, label, split in _parts(folder):
        for above, folders, names in os.walk(part, onerror=_cannot):
            folders.sort()
            for link in (path for name in folders if (path := Path(above, name)).is_symlink()):  # os.walk stays out
                inside(folder, str(link.relative_to(folder)), str(part))
                passed[f"{link} (a link to a folder)"] += 1
            for name in sorted(names):
                path = Path(above, name)
                if path.suffix.lower() not in AUDIO:
                    passed[brief(path.suffix or path.name)] += 1
                    continue
                if not is_plain(str(path)):
                    odd.append(brief(name))
                    continue
                within = path.relative_to(part).parts[:-1]
                named |= bool(within)
                known = {"speaker": within[0] if within and label[1] else None}
                known["attack"] = BONAFIDE if label[1] else within[0] if within else None
                relative = str(path.relative_to(folder))
                row = recording(
                    id=relative.replace("/", ":"),
                    path=inside(folder, relative, str(part)),
                    label=label,
                    split=split,
                    **known,
                )
                rows.append(row)
    notes = []
    if odd:
        notes.append(
            f"{folder}: {len(odd)} recordings are left out, their names are not UTF-8 or hold control characters "
            f"({', '.join(odd[:3])}); {RENAME}"
        )
    if beside := _beside(folder):
        notes.append(
            f"{folder}: neither real nor fake by their names, and passed over: {brief(', '.join(beside), 200)}"
        )
    if passed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in passed.most_common(5))
        notes.append(f"{folder}: {sum(passed.values())} entries are passed over, no audio by their names: {kinds}")
    return Corpus(rows, [], named, notes)


def _beside(folder: Path) -> list[str]:
    """Folders and audio that none of the names tells, at the top and within the parts."""
    found = []
    for place in [
        folder,
        *(part for part in sorted(folder.iterdir()) if part.name.lower() in SPLITS and part.is_dir()),
    ]:
        for path in sorted(place.iterdir()):
            known = path.name.lower() in LABELS or (place == folder and path.name.lower() in SPLITS)
            if not known and (path.is_dir() or path.suffix.lower() in AUDIO):
                found.append(brief(str(path.relative_to(folder))) + "/" * path.is_dir())
    return found


def _cannot(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror})", "give yourself the right to that folder")


LAYOUT = Layout(
    name="folder",
    holds="real/ and fake/ (or bonafide/ and spoof/), also within train/ and test/",
    source="whoever made the recordings",
    labels="real, bonafide, bona-fide, genuine, human are (fake, real) = (0, 1); "
    "fake, spoof, spoofed, deepfake, synthetic are (1, 0)",
    fits=_fits,
    read=_read,
)
