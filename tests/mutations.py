"""What can befall the bytes of a file: steps that are plain data, so that a failure can be named, repeated and shrunk.

`spoil(content, steps)` applies them in order; `draw(rng)` draws some. A step fits any
content, of any length: places are taken modulo what is there.
"""

import random
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.ogg_pages import seal

HEAD = 256  # bytes in which most formats say what they are


class Step(NamedTuple):
    kind: str  # one of KINDS
    at: int = 0  # a place, modulo the length
    size: int = 0  # how much; modulo what makes sense for the kind
    value: int = 0  # a seed for random bytes, or an index into NUMBERS


# (marker, bytes from its beginning, how the number is packed): what headers promise
FIELDS = (
    *((b"RIFF", 4, "<I"), (b"fmt ", 4, "<I"), (b"fmt ", 8, "<H"), (b"fmt ", 10, "<H"), (b"fmt ", 12, "<I")),
    *((b"fmt ", 20, "<H"), (b"fmt ", 22, "<H"), (b"fmt ", 26, "<H"), (b"data", 4, "<I"), (b"data", 4, ">q")),
    *((b"fact", 8, "<I"), (b"ds64", 8, "<Q"), (b"ds64", 16, "<Q"), (b"ds64", 24, "<Q"), (b"riff", 16, "<Q")),
    *((b"fLaC", 4, ">I"), (b"fLaC", 8, ">I"), (b"fLaC", 18, ">I"), (b"fLaC", 21, ">I"), (b"fLaC", 22, ">I")),
    *((b"FORM", 4, ">I"), (b"COMM", 4, ">I"), (b"COMM", 8, ">H"), (b"COMM", 10, ">I"), (b"COMM", 14, ">H")),
    *((b"COMM", 16, ">Q"), (b"SSND", 4, ">I"), (b"SSND", 8, ">I"), (b".snd", 4, ">I"), (b".snd", 8, ">I")),
    *((b".snd", 12, ">I"), (b".snd", 16, ">I"), (b".snd", 20, ">I"), (b"desc", 12, ">d"), (b"desc", 28, ">I")),
    *((b"desc", 36, ">I"), (b"pakt", 4, ">q"), (b"pakt", 12, ">q"), (b"kuki", 4, ">q"), (b"OggS", 5, "<B")),
    *((b"OggS", 6, "<q"), (b"OggS", 14, "<I"), (b"OggS", 18, "<I"), (b"OggS", 26, "<B"), (b"\x01vorbis", 11, "<B")),
    *((b"\x01vorbis", 12, "<I"), (b"\x01vorbis", 28, "<B"), (b"OpusHead", 9, "<B"), (b"OpusHead", 10, "<H")),
    *((b"OpusHead", 12, "<I"), (b"OpusHead", 16, "<H"), (b"Xing", 4, ">I"), (b"Xing", 8, ">I"), (b"Xing", 12, ">I")),
    *((b"Info", 8, ">I"), (b"Info", 12, ">I"), (b"Creative", 20, "<H"), (b"Creative", 27, "<I"), (b"VHDR", 8, ">I")),
    *((b"BODY", 4, ">I"), (b"\xf0\x7e", 9, "<H"), (b"\xf0\x7e", 12, "<H"), (b"\x64\xa3", 4, "<I"), (b"\xf3", 1, "<B")),
)
NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 16, 32, 64, 127, 128, 255, 256, 999, 1000, 1024, 8000, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF),
    *(192_000, 768_000, 768_001, 10_000_000, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 4_000_000_000, 0xFFFFFFFF),
    *(3600 * 48_000, 1000 * 3600 * 48_000, 1 << 40, (1 << 62) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
TAGS = (
    b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",  # a tag of 256 MB that is not there
    b"ID3\x03\x00\x80\x00\x00\x10\x00" + b"TIT2" + b"\xff\xff\xff\xff" + b"\0\0" + b"x" * 64,
    b"APETAGEX" + struct.pack("<IIII", 2000, 0xFFFFFFFF, 0xFFFFFFFF, 0xA0000000) + bytes(8),
    b"TAG" + b"\xff" * 125,
    b"\xef\xbb\xbf",
    b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff",
)


def spoil(content: bytes, steps: Iterable[Step]) -> bytes:
    for step in steps:
        content = KINDS[step.kind](content, step)
    return content


def draw(rng: random.Random) -> list[Step]:
    """One to three steps, mostly one: what is broken in one place gets further than what is broken everywhere."""
    return [
        Step(rng.choice(OFTEN), rng.getrandbits(32), int(2 ** rng.uniform(0, 14)), rng.getrandbits(32))
        for _ in range(rng.choice((1, 1, 1, 2, 3)))
    ]


def _flip(content: bytes, step: Step) -> bytes:
    """1 to 1000 bits, anywhere."""
    return _flipped(content, step, len(content), 1000)


def _flip_head(content: bytes, step: Step) -> bytes:
    return _flipped(content, step, min(HEAD, len(content)), 16)


def _flipped(content: bytes, step: Step, within: int, most: int) -> bytes:
    out, rng = bytearray(content), random.Random(step.value)
    for _ in range(step.size % most + 1 if within else 0):
        out[rng.randrange(within)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _cut(content: bytes, step: Step) -> bytes:
    return content[: step.at % (len(content) + 1)]


def _zeros(content: bytes, step: Step) -> bytes:
    return _overwritten(content, step, bytes)


def _ones(content: bytes, step: Step) -> bytes:
    return _overwritten(content, step, lambda size: b"\xff" * size)


def _noise(content: bytes, step: Step) -> bytes:
    return _overwritten(content, step, random.Random(step.value).randbytes)


def _overwritten(content: bytes, step: Step, filling: Callable[[int], bytes]) -> bytes:
    first, last = _range(content, step)
    return content[:first] + filling(last - first) + content[last:]


def _repeat(content: bytes, step: Step) -> bytes:
    """A block stands 2 to 9 times."""
    first, last = _range(content, step)
    return content[:first] + content[first:last] * (step.value % 8 + 2) + content[last:]


def _remove(content: bytes, step: Step) -> bytes:
    first, last = _range(content, step)
    return content[:first] + content[last:]


def _swap(content: bytes, step: Step) -> bytes:
    """Two neighbouring blocks change places."""
    first, middle = _range(content, step)
    last = min(2 * middle - first, len(content))
    return content[:first] + content[middle:last] + content[first:middle] + content[last:]


def _front(content: bytes, step: Step) -> bytes:
    return random.Random(step.value).randbytes(step.size) + content


def _back(content: bytes, step: Step) -> bytes:
    return content + random.Random(step.value).randbytes(step.size)


def _tag(content: bytes, step: Step) -> bytes:
    return TAGS[step.value % len(TAGS)] + content


def _number(content: bytes, step: Step) -> bytes:
    """16, 32 or 64 bits in the head, of either byte order."""
    how = ("<H", ">H", "<I", ">I", "<Q", ">Q")[step.size % 6]
    return _put(content, step.at % (min(HEAD, len(content)) + 1), how, step.value)


def _field(content: bytes, step: Step) -> bytes:
    """One of the fields that this file has. Pages of an Ogg file are sealed anew, or nobody would believe them."""
    there = [(place, field) for field in FIELDS for place in _places(content, field[0])]
    if not there:
        return content
    place, (_, offset, how) = there[step.at % len(there)]
    return seal(_put(content, place + offset, how, step.value))


def _put(content: bytes, at: int, how: str, value: int) -> bytes:
    """NUMBERS[value] written over the bytes at `at`, cut to the width of the field; nothing beyond the end."""
    number, size = NUMBERS[value % len(NUMBERS)], struct.calcsize(how)
    if how[1] == "d":
        packed = struct.pack(how, number)
    else:
        packed = (number & (1 << 8 * size) - 1).to_bytes(size, "little" if how[0] == "<" else "big")
    return content if at + size > len(content) else content[:at] + packed + content[at + size :]


def _places(content: bytes, marker: bytes) -> list[int]:
    """Of a marker: the first in the head, or all pages of an Ogg file."""
    first = content.find(marker, 0, 4096)
    found = [] if first < 0 else [first]
    while marker == b"OggS" and found and (more := content.find(marker, found[-1] + 4)) >= 0:
        found.append(more)
    return found


def _range(content: bytes, step: Step) -> tuple[int, int]:
    first = step.at % (len(content) + 1)
    return first, min(first + step.size, len(content))


KINDS: dict[str, Callable[[bytes, Step], bytes]] = {
    "flip": _flip,
    "flip head": _flip_head,
    "cut": _cut,
    "zeros": _zeros,
    "ones": _ones,
    "noise": _noise,
    "repeat": _repeat,
    "remove": _remove,
    "swap": _swap,
    "front": _front,
    "back": _back,
    "tag": _tag,
    "number": _number,
    "field": _field,
}
OFTEN = ("flip", "cut", "zeros", "ones", "noise", "repeat", "remove", "swap", "field", "field", "field", *sorted(KINDS))
