"""Recorded noise and room responses from folders as they are published: MUSAN, RIRS_NOISES, or any with audio in it.

MUSAN (D. Snyder et al., 2015, arXiv:1510.08484): `noise/`, and of `music/` what its ANNOTATIONS call without
vocals (`id genres vocals musician`); `speech/` holds voices and is left out. RIRS_NOISES (T. Ko et al., ICASSP 2017,
openslr 28): `rir_list` of simulated and real rooms (`--rir-id ID --room-id ROOM PATH`), `noise_list` for noise.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.corpora.corpus import AUDIO, inside
from app.corpora.layouts import LAYOUTS
from app.corpora.recordings import below
from app.corpora.split import SPLITS
from app.errors import UserError
from app.runtime.rows import Row

LISTS = {"noise": ("noise_list",), "room": ("rir_list",)}
LISTED_IN = ("simulated_rirs/smallroom", "simulated_rirs/mediumroom", "simulated_rirs/largeroom", "simulated_rirs",
             "real_rirs_isotropic_noises", "pointsource_noises")  # fmt: skip
PLACES = 8  # folders at least that are taken for places, and not for kinds of noise
MOST = 5000  # recordings of a kind; of more, so many by lot


class Found(NamedTuple):
    path: str  # below DATA
    group: str  # what must lie in one split: a recording, a musician, a room


def backgrounds_of(
    data: Path, noise_dirs: tuple[str, ...], rir_dirs: tuple[str, ...], valid_fraction: float, seed: int
) -> tuple[list[Row], list[str]]:
    """(rows, sentences): id, path, kind (noise | room), group and split of every recording that may be drawn.

    Whole groups lie in one split: a musician, a room, a place (a folder among many), otherwise a recording; the
    same recording in two corpora (MUSAN's noise is part of RIRS_NOISES) by its name. Raises UserError where a
    folder holds none, or too few to hold some out.
    """
    rows, notes = [], list[str]()
    for kind, folders, key in (("noise", noise_dirs, "mix.noise_dirs"), ("room", rir_dirs, "mix.rir_dirs")):
        found: dict[str, Found] = {}
        for name in folders:
            _check_no_corpus(below(data, name, key), f"{key}: {name}")
            here = list(_found(data, below(data, name, key), kind, notes))
            if not here:
                raise UserError(
                    f"{key}: {data / name} holds no {'noise' if kind == 'noise' else 'room response'}",
                    "name a folder of recordings, MUSAN or RIRS_NOISES; see docs/mixing.md",
                )
            notes.append(f"{len(here)} {'recordings of noise' if kind == 'noise' else 'room responses'} in {name}")
            found |= {one.path: one for one in here}
        chosen = _by_lot(sorted(found.values()), seed)
        if len(chosen) < len(found):
            notes.append(f"of {len(found)} recordings {len(chosen)} are taken, by lot")
        splits = _dealt(chosen, valid_fraction, seed, key) if chosen else {}
        for one in chosen:
            rows.append(
                {
                    "id": one.path.replace("/", ":"),
                    "path": one.path,
                    "kind": kind,
                    "group": one.group,
                    "split": splits[one.group],
                }
            )
    return rows, notes


def _check_no_corpus(folder: Path, what: str) -> None:
    voices = next((layout.name for layout in LAYOUTS.values() if layout.fits(folder)), None)
    if voices:
        raise UserError(
            f"{what} is a corpus of voices (layout {voices}): as noise they would speak in clips labelled without any",
            "name a folder of noise or of rooms",
        )


def _found(data: Path, folder: Path, kind: str, notes: list[str]) -> Iterator[Found]:
    for root in (folder, folder / "musan"):
        if kind == "noise" and (root / "noise").is_dir() and ((root / "music").is_dir() or (root / "speech").is_dir()):
            yield from _musan(data, root, notes)
            return
    for root in (folder, folder / "RIRS_NOISES"):
        lists = [root / place / name for place in LISTED_IN for name in LISTS[kind]]
        lists = [path for path in lists if path.is_file()]
        if lists:
            for path in lists:
                yield from _listed(data, root, path)
            return
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in AUDIO and path.is_file()]
    if kind == "noise":
        found = [path for path, _ in _without_vocals(folder, found, notes)]
    whole = _kept_whole(folder, found)
    if whole:
        notes.append(f"{folder}: what lies in one of its {len({*whole.values()})} folders is kept in one split")
    for path in found:
        yield Found(_inside(data, path), str((whole.get(path) or path).relative_to(data)))


def _kept_whole(folder: Path, found: list[Path]) -> dict[Path, Path]:
    """Path -> the folder that was recorded in one place, as far as names tell: the first level that has many of them.

    DEMAND and BUT ReverbDB have one for each place, with a file for each microphone. A few folders are kinds of
    noise rather: of these each recording is one.
    """
    for depth in range(1, max((len(path.relative_to(folder).parts) for path in found), default=1)):
        above = {path: folder.joinpath(*path.relative_to(folder).parts[:depth]) for path in found}
        if len({*above.values()} - {*found}) >= PLACES:
            return above
    return {}


def _musan(data: Path, root: Path, notes: list[str]) -> Iterator[Found]:
    for path in sorted((root / "noise").rglob("*.wav")):
        yield Found(_inside(data, path), path.stem)
    for path, musician in _without_vocals(root / "music", sorted((root / "music").rglob("*.wav")), notes, strict=True):
        yield Found(_inside(data, path), musician or path.stem)
    if speech := sum(1 for _ in (root / "speech").rglob("*.wav")):
        notes.append(f"{root}: {speech} recordings of speech are left out")


def _without_vocals(
    folder: Path, found: list[Path], notes: list[str], strict: bool = False
) -> Iterator[tuple[Path, str]]:
    """(path, musician) of those that MUSAN's ANNOTATIONS do not call songs; strict: of those that they name alone."""
    told: dict[Path, tuple[bool, str]] = {}
    for table in sorted(folder.rglob("ANNOTATIONS")):
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) >= 4:
                told[table.parent / words[0]] = (words[2] == "N", words[3])
    beside = {path.parent for path in told}
    left: Counter[str] = Counter()
    for path in found:
        silent, musician = told.get(path.with_suffix(""), (False, ""))
        if silent or not (strict or path.parent in beside):
            yield path, musician
        else:
            left["music with vocals" if path.with_suffix("") in told else "music without an annotation"] += 1
    if left:
        what = ", ".join(f"{count} of {name}" for name, count in left.items())
        notes.append(f"{folder}: left out, for they hold voices or may: {what}")


def _listed(data: Path, root: Path, table: Path) -> Iterator[Found]:
    """A list names its recordings from the folder above RIRS_NOISES."""
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        path = root / inside(root, words[-1].removeprefix("RIRS_NOISES/"), f"{table}:{number}")
        room = words[words.index("--room-id") + 1] if "--room-id" in words[:-1] else path.stem
        yield Found(_inside(data, path, f"{table}:{number}"), room)


def _inside(data: Path, path: Path, where: str = "") -> str:
    """Below DATA as it is written; a link at its top may lead elsewhere, one further down may not."""
    relative = path.relative_to(data)
    top = data / relative.parts[0]
    return str(Path(relative.parts[0], inside(top, str(Path(*relative.parts[1:])), where or str(top))))


def _by_lot(found: list[Found], seed: int) -> list[Found]:
    if len(found) <= MOST:
        return found
    taken = np.sort(np.random.default_rng(seed).permutation(len(found))[:MOST])
    return [found[number] for number in taken]


def _dealt(found: list[Found], valid_fraction: float, seed: int, key: str) -> dict[str, str]:
    """Group -> split, by lot, in the shares of the voices."""
    sizes: dict[str, int] = defaultdict(int)
    for one in found:
        sizes[one.group] += 1
    groups = sorted(sizes)
    if len(groups) < len(SPLITS):
        raise UserError(
            f"{key}: only {len(groups)} independent recordings (rooms, musicians); each split needs one of its own",
            "add some, or leave the key empty",
        )
    order = [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]
    splits, total = dict.fromkeys(order[:1], "select") | dict.fromkeys(order[1:2], "calibrate"), len(found)
    wanted = {"train": 1 - valid_fraction, "select": valid_fraction / 2, "calibrate": valid_fraction / 2}
    held = Counter({"select": sizes[order[0]], "calibrate": sizes[order[1]], "train": sizes[order[2]]})
    splits[order[2]] = "train"
    for group in order[3:]:
        neediest = max(SPLITS, key=lambda split: wanted[split] - held[split] / total)
        splits[group] = neediest
        held[neediest] += sizes[group]
    return splits
