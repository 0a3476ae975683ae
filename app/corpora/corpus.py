"""What a corpus holds, whatever its layout; and a path of it that leads nowhere else."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.config import TableConfig
from app.corpora.tables import brief
from app.errors import UserError
from app.runtime.rows import Rows

AUDIO = {".ogg", ".wav", ".flac", ".mp3", ".opus", ".oga", ".aif", ".aiff"}
CONTROL = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")  # surrogates: bytes of a file name that are not UTF-8
EXTRA = "extra"  # the split of recordings that a corpus lists and that are neither learnt from nor tested


@dataclass(frozen=True)
class Corpus:
    """Recordings as manifest lines, paths relative to the folder that was read.

    split: train (labelled), test, unlabeled or extra. A test recording has a label where the tables that list it
    tell it. `codec`, where a row has it, is the channel that a test recording went through.
    """

    rows: Rows
    tables: list[str]  # the files that were read beside the audio, relative
    has_meta: bool  # speakers or engines are known
    notes: list[str] = field(default_factory=list)  # sentences for the user
    answers: bool = False  # the tables tell the labels of test recordings


@dataclass(frozen=True)
class Layout:
    """How a corpus lies on disk, and who reads it."""

    name: str
    holds: str  # what tells it, for a user whose folder fits none
    source: str  # whom to cite
    labels: str  # its label sense, in words
    fits: Callable[[Path], bool]
    read: Callable[[Path, TableConfig], Corpus]
    answers: Callable[[Path, Path], list[dict[str, Any]]] | None = None  # of a labels file; None: the rows have them


RENAME = "rename it; names as Korean Windows has them: convmv -f cp949 -t utf8 -r --notest FOLDER"


def is_plain(name: str) -> bool:
    """Whether it can stand in our tables: UTF-8, and without line breaks or other control characters."""
    return not CONTROL.search(name)


def inside(folder: Path, path: str, where: str) -> str:
    """The path, normalised; the file may be missing (that is for failed.jsonl), but it may not lie elsewhere.

    where: table and line, for the message. Raises UserError for one that is empty, absolute, climbs out of the
    folder or is a link that leads out.
    """
    if not path.strip():
        raise UserError(f"{where}: an empty path", "give the path of a recording")
    if not is_plain(path):
        raise UserError(f"{where}: path '{brief(path)}' holds a control character, or is not UTF-8", RENAME)
    if path.startswith("/") or re.match(r"[A-Za-z]:[\\/]|\\\\", path):
        # even one inside: a corpus that moves is the same corpus
        raise UserError(f"{where}: path '{brief(path)}' is absolute", "write it relative to the corpus folder")
    root = str(folder)
    try:
        if "\0" in path:
            raise ValueError("holds a NUL")
        # as texts: Paths would take five times as long, and a corpus may have a million
        if "\\" in path and not os.path.exists(f"{root}/{path}"):  # noqa: PTH110 - written on Windows
            path = path.replace("\\", "/")
        clean = os.path.normpath(path)
        above, _, name = clean.rpartition("/")
        kept = _lies_inside(root, above)
        if kept and os.path.islink(f"{root}/{clean}"):  # noqa: PTH114
            kept = _lies_inside(root, clean)
    except (ValueError, RuntimeError, OSError) as error:  # a NUL; links that go round
        raise UserError(f"{where}: path '{brief(path)}': {brief(str(error))}", "give the path of a file") from None
    if not kept or name in ("", ".", ".."):
        raise UserError(f"{where}: path '{brief(path)}' leaves the corpus folder", "keep all audio inside DATA")
    return clean


@lru_cache(4096)  # a corpus has many files in few folders
def _lies_inside(folder: str, path: str) -> bool:
    return (Path(folder) / path).resolve().is_relative_to(Path(folder).resolve())
