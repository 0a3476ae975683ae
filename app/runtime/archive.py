"""One file that holds a run and its stages: a plain tar that is, byte for byte, what the table at its head says.

The first member is the table: every file's size and SHA-256; the last is the table's
own SHA-256. Names are sorted and times and owners are 0, so that the same files make
the same bytes. Whoever reads does not follow the tar's headers: it computes the header
that each file of the table must have and compares. So a cut or flipped byte anywhere
is noticed, and a member that the table does not tell of (a link, a device, a second
file of that name) is a wrong byte like any other. `tar tf` lists it all the same.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from app.errors import UserError
from app.runtime.archive_table import Table, checked
from app.runtime.faults import passing
from app.runtime.files import BLOCK, sync
from app.runtime.pace import PacedFile

TABLE, SEAL = "moksori-archive.json", "moksori-archive.sha256"
TABLE_BYTES = 1 << 30  # no table of ours comes near

Tell = Callable[[int], None]  # called with the bytes just done; may raise to leave


class Differs(Exception):
    """A file is not what the table says of it; the argument is its name."""


def write_archive(file: IO[bytes], table: Table, sources: dict[str, Path], tell: Tell) -> None:
    """Writes the archive of table["files"], read from `sources`, no faster than we may.

    file: open for writing without a buffer. Raises Differs where a source is not what the table says.
    """
    put, text = _paced(file), _text(table)
    put(header(TABLE, len(text)) + _padded(text))
    for name, known in table["files"].items():
        put(header(name, known["bytes"]))
        passing("pack writing")
        left, digest = known["bytes"], hashlib.sha256()
        try:
            with sources[name].open("rb") as source:
                while block := source.read(min(BLOCK, left + 1)):
                    left -= len(block)
                    if left < 0:
                        raise Differs(name)
                    digest.update(block)
                    put(block)
                    tell(len(block))
        except FileNotFoundError:
            raise Differs(name) from None
        if left or digest.hexdigest() != known["sha256"]:
            raise Differs(name)
        put(bytes(-known["bytes"] % 512))
    put(_seal(text))


def read_table(path: Path) -> Table:
    """The table of an archive, its names, links and sizes checked. Raises UserError where one is wrong."""
    with path.open("rb") as file:
        return _Reader(path, file).table


def read_archive(path: Path, place: Callable[[str], Path | None], tell: Tell) -> Table:
    """Checks every byte and writes each file to place(name), synced; None: it is checked, not written.

    Raises UserError at the first wrong byte: what was written until then is the caller's to remove.
    """
    with path.open("rb") as file:
        reader = _Reader(path, file)
        for name, known in reader.table["files"].items():
            reader.expect(header(name, known["bytes"]), f"where {name} should begin")
            to = place(name)
            if to:
                to.parent.mkdir(parents=True, exist_ok=True)
                with to.open("xb", buffering=0) as out:
                    put = _paced(out)
                    passing("unpack writing")
                    for block in reader.blocks(name, known, tell):
                        put(block)
                sync(to)
            else:
                for _ in reader.blocks(name, known, tell):
                    pass
            reader.expect(bytes(-known["bytes"] % 512), f"after {name}")
        reader.expect(_seal(reader.text), "at its end")
        return reader.table


def archive_bytes(table: Table) -> int:
    """Size of the whole archive."""
    text, files = _text(table), table["files"].items()
    ends = len(header(TABLE, len(text))) + len(_padded(text)) + len(_seal(text))
    return ends + sum(len(header(name, k["bytes"])) + k["bytes"] + -k["bytes"] % 512 for name, k in files)


def header(name: str, size: int) -> bytes:
    """The tar header of a file (GNU tar's: a name over 100 bytes stands before it, a size over 8 GiB in binary)."""
    raw = name.encode("utf-8", "surrogateescape")
    before = _block(b"././@LongLink", len(raw) + 1, b"L") + _padded(raw + b"\0") if len(raw) > 100 else b""
    return before + _block(raw[:100], size, b"0")


class _Reader:
    """An open archive behind its table."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        head = file.read(512)
        size = head[124:135]
        length = int(size, 8) if size and not size.strip(b"01234567") else TABLE_BYTES
        if length >= TABLE_BYTES or head != header(TABLE, length):
            raise UserError(f"{path}: no archive of `make pack`", "ARCHIVE=NAME.moksori.tar")
        self.text = self.take(length, "in its table")
        self.expect(bytes(-length % 512), "after its table")
        try:
            self.table = checked(json.loads(self.text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self.wrong(f"its table cannot be used ({error})") from None
        if _text(self.table) != self.text:
            raise self.wrong("its table is not written as ours are")
        found, size_told = path.stat().st_size, archive_bytes(self.table)
        if found != size_told:
            raise self.wrong(f"it has {found} bytes, its table tells of {size_told}")

    def take(self, count: int, where: str) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise self.wrong(f"it ends too early, {where}")
        return data

    def expect(self, data: bytes, where: str) -> None:
        if self.take(len(data), where) != data:
            raise self.wrong(f"other bytes than its table tells of, {where}")

    def blocks(self, name: str, known: dict[str, Any], tell: Tell) -> Iterator[bytes]:
        """The bytes of one file; at their end the digest must be the one that the table tells."""
        digest, left = hashlib.sha256(), known["bytes"]
        while left:
            block = self.take(min(BLOCK, left), f"in {name}")
            left -= len(block)
            digest.update(block)
            yield block
            tell(len(block))
        if digest.hexdigest() != known["sha256"]:
            raise self.wrong(f"{name} has another SHA-256 than its table tells")

    def wrong(self, why: str) -> UserError:
        return UserError(
            f"{self.path}: damaged, or not made by `make pack`: {why}", "copy it again, or pack the run again"
        )


def _paced(file: IO[bytes]) -> Callable[[bytes], None]:
    paced = PacedFile(file.fileno())

    def put(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            count = file.write(rest)
            rest = rest[count:]
            paced.wrote(count)

    return put


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    octal = b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
    owner, mode, when, magic = b"0000000\0", b"0000644\0", b"00000000000\0", b"ustar  \0"
    first = struct.pack("100s8s8s8s12s12s", name, mode, owner, owner, octal, when)
    last = struct.pack("c100s8s247x", kind, b"", magic)
    return first + b"%06o\0 " % (sum(first) + 8 * 32 + sum(last)) + last  # the sum counts its own field as blanks


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _text(table: Table) -> bytes:
    return json.dumps(table, indent=1).encode() + b"\n"


def _seal(text: bytes) -> bytes:
    """The last member, the table's SHA-256, and the end of the tar."""
    seal = hashlib.sha256(text).hexdigest().encode()
    return header(SEAL, len(seal)) + _padded(seal) + bytes(1024)
