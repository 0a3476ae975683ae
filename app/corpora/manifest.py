"""What is known of one recording: a manifest line. Labels are translated here once, into (fake, real)."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.files import sha256_of

Row = dict[str, Any]

TRAIN_SPLITS = ("train", "select", "calibrate")
BONAFIDE = "bonafide"


def recording(
    *,
    id: str,
    path: str,
    label: tuple[int, int] | None,
    split: str,
    speaker: str | None = None,
    attack: str | None = None,
    language: str | None = None,
    parent: str | None = None,
    sha256: str | None = None,
) -> Row:
    """A manifest line of a recording as it lies in the corpus.

    path: relative to the corpus folder. label: (fake, real), each 0 or 1, or None
    where it is unknown. sample_rate and num_samples are filled in by whoever reads
    the file. sources: the ids of what a clip was made from; its own id here.
    """
    fake, real = label if label else (None, None)
    return {
        "id": id,
        "path": path,
        "sample_rate": None,
        "num_samples": None,
        "fake": fake,
        "real": real,
        "speaker": speaker or None,
        "attack": attack or None,
        "language": language or None,
        "split": split,
        "sources": [id],
        "parent": parent or None,
        "sha256": sha256,
    }


def by_split(rows: Iterable[Row], *splits: str) -> Iterator[Row]:
    return (row for row in rows if row["split"] in splits)


def digests_of(folder: Path, paths: Iterable[str], threads: int = 1) -> dict[str, str]:
    """Path -> SHA-256 of its bytes, or "missing" or "unreadable": what a corpus is, wherever its folder lies."""

    def digest(path: str) -> str:
        try:
            return sha256_of(folder / path) if (folder / path).is_file() else "missing"
        except OSError:
            return "unreadable"

    unique = sorted(set(paths))
    with ThreadPoolExecutor(threads) as pool:  # hashing and reading leave the interpreter lock
        return dict(zip(unique, pool.map(digest, unique), strict=True))


def same_recording(folder: Path, row: Row) -> Path:
    """The file of a row. UserError if it no longer holds the bytes that prepare saw: stages are named after them."""
    path = folder / row["path"]
    if digests_of(folder, [row["path"]])[row["path"]] != row["sha256"]:
        raise UserError(
            f"{path}: not the recording that was prepared (changed, missing or not readable now)",
            "point DATA=... at the corpus that was prepared (is it mounted?), or run `make prepare` again",
        )
    return path
