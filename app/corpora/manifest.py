"""What is known of one recording: a manifest line. Labels are translated here once, into (fake, real)."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from app.errors import UserError
from app.runtime.files import fingerprint, sha256_of
from app.runtime.rows import Row

TRAIN_SPLITS = ("train", "select", "calibrate")
BONAFIDE = "bonafide"
HASHED_TOGETHER = 256


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
    source: str | None = None,
) -> Row:
    """A manifest line of a recording as it lies in the corpus.

    path: relative to the corpus folder. label: (fake, real), each 0 or 1, or None
    where it is unknown. sample_rate and num_samples are filled in by whoever reads
    the file. sources: the ids of what a clip was made from; its own id here. source: where it
    was recorded or published, such as a production; the row has the key where that is known.
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
        **({"source": source} if source else {}),
    }


def by_split(rows: Iterable[Row], *splits: str) -> Iterator[Row]:
    return (row for row in rows if row["split"] in splits)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, or "missing" or "unreadable"."""
    try:
        return sha256_of(path) if path.is_file() else "missing"
    except OSError:
        return "unreadable"


def with_digests(folder: Path, rows: Iterable[Row], threads: int = 1) -> Iterator[Row]:
    """The rows, in their order, each with the digest of its file as `sha256`; a few of them are held at a time."""
    left = iter(rows)
    with ThreadPoolExecutor(threads) as pool:  # hashing and reading leave the interpreter lock
        while part := list(islice(left, HASHED_TOGETHER)):
            digests = pool.map(lambda row: digest_of(folder / row["path"]), part)
            yield from ({**row, "sha256": digest} for row, digest in zip(part, digests, strict=True))


def name_of(rows: Iterable[Row]) -> str:
    """The fingerprint of some recordings: of their bytes, and of all that is known of each.

    Neither the order of the rows counts, nor where their folder lies, nor which table said it.
    """
    found = sorted(hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest() for row in rows)
    return fingerprint(hashlib.sha256(b"".join(found)).hexdigest())


def same_recording(folder: Path, row: Row) -> Path:
    """The file of a row. UserError if it no longer holds the bytes that prepare saw: stages are named after them."""
    path = folder / row["path"]
    if digest_of(path) != row["sha256"]:
        raise UserError(
            f"{path}: not the recording that was prepared (changed, missing or not readable now)",
            "point DATA=... at the corpus that was prepared (is it mounted?), or run `make prepare` again",
        )
    return path
