"""Opens a text of a corpus in the encoding it was saved in: UTF-8, -16, -32, or CP949 as Korean Windows has it."""

from io import TextIOWrapper
from pathlib import Path

from app.errors import UserError
from app.runtime.tell import tell

MARKS = {  # the longer first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
CHUNK = 1 << 16
_told: set[tuple[str, str]] = set()


def open_text(path: Path) -> TextIOWrapper:
    """The file, open for reading, its line ends as they are; every character of it can be read.

    A byte order mark tells UTF-8, -16 or -32, NULs beside the first letter UTF-16; else it is UTF-8
    or, where it is not, CP949. That guess is told, with the first text that hangs on it.
    Raises UserError for what is missing, not a file, not readable, or in none of these encodings.
    """
    encoding = encoding_of(path)
    return path.open(encoding=encoding, newline="")


def encoding_of(path: Path) -> str:
    """As `open_text` would open it: utf-8-sig, utf-16, utf-16-le, utf-16-be, utf-32 or cp949."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe is waited for, a device never ends
            raise UserError(f"{path}: not a file", "it must be a table, not a pipe or device")
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "point DATA=... at the folder that holds it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "it must be a file that you may read") from None
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            _must_be(path, encoding)
            return encoding
    if len(start) > 1 and (start[0] == 0) != (start[1] == 0):
        wide = "utf-16-be" if start[0] == 0 else "utf-16-le"
        _must_be(path, wide)
        return wide
    fault = _first_fault(path, "utf-8")
    if fault is None:
        return "utf-8-sig"
    if _first_fault(path, "cp949") is not None:
        raise UserError(f"{path}:{fault[0]}: not UTF-8 ({fault[1]})", "save it as UTF-8 with commas")
    _tell_of_cp949(path, fault[0])
    return "cp949"


def _must_be(path: Path, encoding: str) -> None:
    fault = _first_fault(path, encoding)
    if fault:
        name = encoding.removesuffix("-sig").upper()
        raise UserError(f"{path}:{fault[0]}: begins as {name}, but is not ({fault[1]})", "save it as UTF-8 with commas")


def _first_fault(path: Path, encoding: str) -> tuple[int, str] | None:
    """(line, reason) where the file cannot be read in this encoding."""
    line = 1
    with path.open(encoding=encoding, newline="") as file:
        try:
            while text := file.read(CHUNK):
                line += text.count("\n")
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
            return _line_of(path, encoding, line), reason
    return None


def _line_of(path: Path, encoding: str, at_least: int) -> int:
    """The line of the first fault: a file is decoded ahead of where it is read, so the bytes are looked at by line."""
    if encoding not in ("utf-8", "utf-8-sig", "cp949"):
        return at_least
    with path.open("rb") as file:
        for number, content in enumerate(file, 1):
            try:
                content.decode(encoding)
            except UnicodeError:
                return number
    return at_least


def _tell_of_cp949(path: Path, line: int) -> None:
    if (str(path), "cp949") in _told:
        return
    _told.add((str(path), "cp949"))
    with path.open("rb") as file:
        shown = next(content for number, content in enumerate(file, 1) if number == line)
    words = "".join(sign if sign.isprintable() else " " for sign in shown.decode("cp949", "replace")[:80]).strip()
    tell(f"{path}: not UTF-8; read as CP949 (Korean Windows). Line {line}, is it right? {words}")
