"""What is known of one recording: a manifest line. Labels are translated here once, into (fake, real)."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from app.runtime.files import fingerprint, sha256_of

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
    }


def by_split(rows: Iterable[Row], *splits: str) -> Iterator[Row]:
    return (row for row in rows if row["split"] in splits)


def corpus_fingerprint(folder: Path, paths: Iterable[str]) -> str:
    """A name for the very bytes of these files, wherever the folder lies. A missing file counts as missing."""

    def digest(path: str) -> str:
        try:
            return sha256_of(folder / path) if (folder / path).is_file() else "missing"
        except OSError:
            return "unreadable"

    unique = sorted(set(paths))
    with ThreadPoolExecutor(4) as pool:  # hashing and reading leave the interpreter lock
        return fingerprint(dict(zip(unique, pool.map(digest, unique), strict=True)))


def seed_of(seed: int, *names: object) -> int:
    """A 63-bit seed for one clip: neither worker count nor order nor a resume changes it."""
    text = "\0".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
