"""What INPUT names: a recording, a folder of them, a list of paths, or what comes through a pipe."""

import sys
from pathlib import Path
from typing import BinaryIO

from app.corpora.corpus import AUDIO
from app.corpora.text import open_text
from app.errors import UserError

LISTS = {".txt", ".lst", ".list"}
CHUNK = 1 << 20
MOST_PIPED = 8 << 30  # bytes


def inputs_of(given: Path) -> tuple[Path, list[str]]:
    """(folder, paths): the paths as they are named, from the folder. A list's paths begin at the list's folder.

    Raises UserError where there is nothing, or a list names nothing.
    """
    if given.is_dir():
        found = sorted(path for path in given.rglob("*") if path.suffix.lower() in AUDIO)
        if not found:
            raise UserError(f"INPUT={given}: holds no recording", f"known endings: {', '.join(sorted(AUDIO))}")
        return given, [str(path.relative_to(given)) for path in found]
    if not given.exists():
        raise UserError(f"INPUT={given}: no such file or folder", "INPUT=recording.wav, a folder, or a list (.txt)")
    if given.suffix.lower() not in LISTS:
        return given.parent, [given.name]
    with open_text(given) as file:
        lines = (line.strip() for line in file)
        names = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not names:
        raise UserError(f"INPUT={given}: names no recording", "one path a line; # begins a remark")
    return given.parent, names


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
