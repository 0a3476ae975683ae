"""Checksums of Ogg pages, by RFC 3533: a page whose checksum is wrong is skipped, and nothing in it is believed."""

import struct

POLYNOMIAL = 0x04C11DB7


def seal(content: bytes) -> bytes:
    """The content with right checksums in all its Ogg pages, where there are any."""
    out, at = bytearray(content), content.find(b"OggS")
    while at >= 0:
        table = out[at + 27 : at + 27 + out[at + 26]] if at + 27 <= len(out) else b""
        page = out[at : at + 27 + len(table) + sum(table)]
        if len(page) >= 27:
            page[22:26] = bytes(4)
            out[at + 22 : at + 26] = struct.pack("<I", _checksum(page))
        at = out.find(b"OggS", at + max(len(page), 4))
    return bytes(out)


def _checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8) & 0xFFFFFFFF ^ _TABLE[value >> 24 ^ byte]
    return value


def _row(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = (value << 1) ^ (POLYNOMIAL if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


_TABLE = [_row(byte) for byte in range(256)]
