"""Many rows in little memory: what a job knows of each of its clips, however many they are."""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Row = dict[str, Any]
PACK = 128  # rows that are packed together


class Rows(Sequence[Row]):
    """Rows of plain values, one after another, packed: a list of them would take some five to ten times the memory.

    Each pass unpacks a few at a time, so a change to a row that was handed out changes nothing here.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._packs: list[tuple[int, bytes]] = []  # how many rows, and they
        self._loose: list[Row] = []  # the last ones
        for row in rows:
            self.append(row)
        self._pack()

    def append(self, row: Row) -> None:
        self._loose.append(row)
        if len(self._loose) == PACK:
            self._pack()

    def __len__(self) -> int:
        return sum(count for count, _ in self._packs) + len(self._loose)

    def __iter__(self) -> Iterator[Row]:
        for _, pack in self._packs:
            yield from _unpacked(pack)
        yield from self._loose

    def __getitem__(self, number: int) -> Row:  # type: ignore[override]  # no slices
        left = number + len(self) if number < 0 else number
        for count, pack in self._packs:
            if 0 <= left < count:
                return _unpacked(pack)[left]
            left -= count
        if left < 0:
            raise IndexError(number)
        return self._loose[left]

    def _pack(self) -> None:
        if self._loose:
            self._packs.append((len(self._loose), zlib.compress(pickle.dumps(self._loose, pickle.HIGHEST_PROTOCOL), 1)))
            self._loose = []


def _unpacked(pack: bytes) -> list[Row]:
    rows: list[Row] = pickle.loads(zlib.decompress(pack))
    return rows
