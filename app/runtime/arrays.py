"""Arrays of shards, written and read a few rows at a time: memory stays flat however large they are.

Plain .npy files, which anybody can memory-map; we read rows by offset instead, so that
what was read long ago does not count as ours.
"""

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from app.runtime.faults import passing
from app.runtime.pace import PacedFile

OPEN_ARRAYS = 256  # each holds a file descriptor, of which a process usually has 1024
PIECE = 1 << 20  # bytes written at once


class ArrayWriter:
    """A .npy file of rows of one shape, which grows by `append`; whole after `close` (or the end of a with block)."""

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = ()) -> None:
        self.path, self.dtype, self.row = path, np.dtype(dtype), row
        self.rows = 0
        self._file = path.open("wb", buffering=0)
        self._paced = PacedFile(self._file.fileno())
        self._file.write(self._header())

    def append(self, rows: NDArray[Any]) -> None:
        """rows: (count, *row). Raises ValueError where shape or type are others."""
        if rows.shape[1:] != self.row or rows.dtype != self.dtype:
            raise ValueError(f"{self.path}: rows of {rows.dtype}{rows.shape[1:]}, wanted {self.dtype}{self.row}")
        data = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            while piece:
                count = self._file.write(piece)
                piece = piece[count:]
                self._paced.wrote(count)
            passing(f"{self.path.name} writing")
        self.rows += len(rows)

    def close(self) -> None:
        if not self._file.closed:
            with self._file:  # closed even where the disk is full
                self._file.seek(0)
                self._file.write(self._header())  # of the same length: numpy leaves room for the count of rows
                passing(f"{self.path.name} header")

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _header(self) -> bytes:
        out = BytesIO()
        description = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.rows, *self.row)}
        npy.write_array_header_1_0(out, description)
        return out.getvalue()


class StoredArray:
    """A .npy file, of which slices of rows are read as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        version = npy.read_magic(self._file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, _, self.dtype = read(self._file)
        self._start = self._file.tell()
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, which: int | slice) -> NDArray[Any]:
        """Row `which`, or rows [start:stop]; a copy, in memory of the caller's."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(len(self))
            return self._read(start, max(stop - start, 0))
        if not 0 <= which < len(self):
            raise IndexError(which)
        return self._read(which, 1)[0]

    def _read(self, start: int, count: int) -> NDArray[Any]:
        out = np.empty((count, *self.shape[1:]), self.dtype)
        left = memoryview(out.reshape(-1).view(np.uint8).data)
        at = self._start + start * self._row_bytes
        while left:
            got = os.preadv(self._file.fileno(), [left], at)
            if not got:
                raise OSError(f"{self._file.name}: shorter than its header says")
            left, at = left[got:], at + got
        return out


@lru_cache(OPEN_ARRAYS)
def stored(path: Path) -> StoredArray:
    """A committed array; a committed shard never changes, so its file may stay open."""
    return StoredArray(path)
