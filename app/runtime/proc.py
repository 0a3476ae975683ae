"""Small files of /proc, read as cheaply as Python can."""

import os


def read(path: str) -> bytes:
    """The file's content, 256 kB of it at most; OSError as open and read give it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, 1 << 18)
    finally:
        os.close(handle)


def read_or_nothing(path: str) -> bytes:
    """As read, or nothing of a process that has just ended."""
    try:
        return read(path)
    except OSError:
        return b""
