"""What two splits share: the very bytes, the recording that a fake copies, speakers, engines."""

from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from app.corpora.manifest import BONAFIDE
from app.corpora.split import engine_of
from app.errors import UserError
from app.runtime.rows import Row

MOST = 0.5  # of the test; if more is known from training, it is no test


def names_shared(train: Iterable[Row], tests: Iterable[Row]) -> list[str]:
    """A sentence for each of speakers, attacks and parents that the test shares with training.

    Ids and parents of both must be written alike. train, tests: gone through several times.
    """
    found = []
    for key, what in (("speaker", "speakers"), ("attack", "attacks")):
        heard = {row[key] for row in train} - {None, BONAFIDE}
        tried = {row[key] for row in tests} - {None, BONAFIDE}
        if both := sorted(heard & tried):
            found.append(
                f"{len(both)} of {len(tried)} {what} of the test are in training too ({_few(both)}): "
                "on them its score tells nothing of voices never heard"
            )
    origins = {name for row in train for name in (row["id"], row["parent"])} - {None}
    copied = {row["parent"] for row in train} - {None}
    copies = [row["id"] for row in tests if row["parent"] in origins or row["id"] in copied]
    if copies:
        found.append(
            f"{len(copies)} recordings of the test and some of training come from one recording, by their parent "
            f"({_few(copies)}): what is said in them was heard in training"
        )
    return found


def bytes_shared(train: Iterable[Row], tests: Iterable[Row]) -> list[str]:
    """A sentence where test recordings are, byte for byte, recordings of training.

    Rows have their sha256. Raises UserError where they are over half of the test.
    """
    asked, total = known_among(train, tests)
    if len(asked) > MOST * total:
        raise UserError(
            f"{len(asked)} of {total} recordings of the test are training recordings, byte for byte ({_few(asked)}): "
            "this is no test",
            "give test.data another corpus, or take them out of training",
        )
    if not asked:
        return []
    return [
        f"{len(asked)} of {total} recordings of the test are training recordings, byte for byte ({_few(asked)}): "
        "its score is too kind by them"
    ]


def known_among(known: Iterable[Row], rows: Iterable[Row]) -> tuple[list[str], int]:
    """Ids of those rows whose bytes are those of a known one; and how many rows there are. All have their sha256."""
    heard, found, total = _digests(known), list[str](), 0
    for row in rows:
        total += 1
        place = np.searchsorted(heard, number := _number(row["sha256"]))
        if number and place < len(heard) and heard[place] == number:
            found.append(row["id"])
    return found, total


def _digests(rows: Iterable[Row]) -> NDArray[np.uint64]:
    """64 bits of each, in order: a corpus may have a million."""
    found = np.fromiter((_number(row["sha256"]) for row in rows), np.uint64)
    return np.unique(found)


def _number(sha256: str) -> int:
    """0 for a file that could not be read."""
    return int(sha256[:16], 16) if len(sha256) == 64 else 0


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def shared_between_splits(recordings: Iterable[Row], planned: Iterable[Row]) -> list[tuple[str, list[str]]]:
    """(what, names that two of train, select and calibrate have), of recordings and of the clips planned from them.

    An engine that copies recordings (vocoding), or speakers of whom there are real recordings (cloning), goes with
    them, and so may be heard in all splits.
    """
    rows = [row for row in recordings if row["split"] in ("train", "select", "calibrate")]
    heard = {row["speaker"] for row in rows if row["real"]} - {None}
    asked: list[tuple[str, Iterable[Row], Callable[[Row], Iterable[str | None]]]] = [
        ("recordings, by their bytes", rows, lambda row: [row.get("sha256")]),
        ("speakers", rows, lambda row: [row["speaker"]]),
        ("engines", rows, lambda row: [] if row["parent"] or row["speaker"] in heard else [engine_of(row["attack"])]),
        ("originals that were copied", rows, lambda row: [row["id"], row["parent"]]),
        ("sources of planned clips", planned, lambda row: row["sources"]),
    ]
    return [(what, _of_two(among, names)) for what, among, names in asked]


def _of_two(rows: Iterable[Row], names: Callable[[Row], Iterable[str | None]]) -> list[str]:
    of_split: dict[str, set[str]] = {}
    for row in rows:
        of_split.setdefault(row["split"], set()).update(name for name in names(row) if name)
    return sorted(set().union(*(one & other for one, other in combinations(of_split.values(), 2))))
