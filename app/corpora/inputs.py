"""What INPUT names: a recording, a folder of them, a list of paths, or what comes through a pipe."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from app.corpora.corpus import AUDIO, RENAME, is_plain
from app.corpora.tables import brief
from app.corpora.text import open_text
from app.errors import UserError

LISTS = {".txt", ".lst", ".list"}
CHUNK = 1 << 20
MOST_PIPED = 8 << 30  # bytes


class Inputs(NamedTuple):
    folder: Path
    names: list[str]  # paths as they are named, from the folder
    unread: dict[str, str]  # name, as it can be shown -> why it is not among them
    notes: list[str]  # sentences on what is passed over


def inputs_of(given: Path) -> Inputs:
    """What to score. A list's paths begin at the list's folder.

    Of a folder all that ends as audio does, to the last level; links to folders are not followed. Raises UserError
    where there is nothing, or a list names nothing.
    """
    if given.is_dir():
        return _in_folder(given)
    if not given.exists():
        raise UserError(f"INPUT={given}: no such file or folder", "INPUT=recording.wav, a folder, or a list (.txt)")
    if given.suffix.lower() not in LISTS:
        return _checked(given.parent, [given.name], [])
    with open_text(given) as file:
        lines = (line.strip() for line in file)
        named = [line for line in lines if line and not line.startswith("#")]
    names = list(dict.fromkeys(named))
    if not names:
        raise UserError(f"INPUT={given}: names no recording", "one path a line; # begins a remark")
    twice = len(named) - len(names)
    notes = [f"{given}: {twice} lines name what stands above them already, and are read once"] if twice else []
    return _checked(given.parent, names, notes)


def _in_folder(given: Path) -> Inputs:
    names, other, unread = list[str](), Counter[str](), dict[str, str]()

    def cannot(error: OSError) -> None:
        unread[brief(os.path.relpath(error.filename, given))] = f"unreadable: {error.strerror}"

    for above, folders, files in os.walk(given, onerror=cannot):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in AUDIO:
                names.append(os.path.relpath(f"{above}/{name}", given))
            else:
                other[brief(Path(name).suffix) or "without an ending"] += 1
        for name in folders:
            if Path(above, name).suffix.lower() in AUDIO:  # a folder that is called x.ogg is asked for, and fails
                names.append(os.path.relpath(f"{above}/{name}", given))
            elif Path(above, name).is_symlink():
                other["a link to a folder"] += 1
    if not names and not unread:
        raise UserError(f"INPUT={given}: holds no recording", f"known endings: {', '.join(sorted(AUDIO))}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in other.most_common(5))
    notes = (
        [f"{given}: {other.total()} other files are passed over ({kinds}); a list (.txt) may name any"] if other else []
    )
    found = _checked(given, sorted(names), notes)
    return found._replace(unread={**unread, **found.unread})


def _checked(folder: Path, names: list[str], notes: list[str]) -> Inputs:
    odd = {name: f"unreadable: its name is not UTF-8 or holds control characters; {RENAME}" for name in names
           if not is_plain(name)}  # fmt: skip
    return Inputs(folder, [name for name in names if name not in odd], {brief(n): why for n, why in odd.items()}, notes)


def take_piped(path: Path, pipe: BinaryIO | None = None) -> None:
    """Keeps what comes through a pipe as a file. Raises UserError where nothing does, or over 8 GB."""
    pipe = pipe or sys.stdin.buffer
    if pipe.isatty():
        raise UserError("INPUT=-: nothing is piped in", "for example: ffmpeg -i talk.mp4 -f wav - | ...")
    got = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while chunk := pipe.read(CHUNK):
            got += len(chunk)
            if got > MOST_PIPED:
                raise UserError("INPUT=-: over 8 GB", "save it as a file, and name that")
            file.write(chunk)
    if not got:
        raise UserError("INPUT=-: the pipe was empty", "does the command before it work? A container gets no pipe")
