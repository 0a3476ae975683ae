"""A shard is on disk whole or not at all: written to a draft folder, synced, renamed onto an absent name.

Whoever comes second discards its copy, so two jobs on one shard cost time and
never data. The receipt is the only mark of "done" and the resume journal; it
holds no times, so that a broken run and an unbroken one leave the same bytes.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

from app.runtime.faults import passing
from app.runtime.files import here, read_json, read_lines, sha256_of, sync, write_json, write_lines
from app.runtime.part import Part
from app.runtime.rows import Row, Rows
from app.runtime.seat import take_in_hand
from app.runtime.steps import step


@dataclass(frozen=True)
class Shard:
    """A piece of a job's work: a name of its own and the rows to do."""

    name: str
    rows: Sequence[Row] = ()


@dataclass
class Draft:
    """What a shard will hold: files in `path`, one manifest row or one failed row for each clip."""

    path: Path
    manifest: Rows = field(default_factory=Rows)
    failed: list[Row] = field(default_factory=list)
    shrink: int = 1  # work with so many times fewer clips at a time than the config says
    given_up: dict[str, tuple[str, str]] = field(default_factory=dict)  # clips not to touch: id -> (cause, detail)

    def each(self, shard: Shard) -> Iterator[Row]:
        """The rows to do, one after another, the job knowing which; those given up are failed here."""
        for number, row in enumerate(shard.rows):
            if row["id"] in self.given_up:
                self.fail(row, *self.given_up[row["id"]])
                continue
            take_in_hand(number)
            yield row

    def done(self, row: Row) -> None:
        self.manifest.append(row)

    def fail(self, row: Row, cause: str, detail: str = "") -> None:
        known = {key: row[key] for key in ("id", "path", "split") if row.get(key) is not None}
        self.failed.append({**known, "cause": cause, "detail": detail})

    def account_for(self, shard: Shard) -> None:
        """Every row that went in came out or failed. A row of a window names its `recording`."""
        out: set[Any] = {row.get("recording", row["id"]) for row in self.manifest}
        failed = {row["id"] for row in self.failed}
        lost = {row["id"] for row in shard.rows} ^ (out | failed)
        if lost or out & failed:
            raise RuntimeError(f"shard {shard.name}: unaccounted clips {sorted(lost or out & failed)[:3]}")


@contextmanager
def commit(shards: Path, name: str) -> Iterator[Draft]:
    """A draft that becomes shards/NAME when the block ends, and nothing when it raises."""
    draft = Draft(shards / f".draft@{here()}@{name}@{os.getpid()}-{secrets.token_hex(6)}")
    with step("save"):  # where a disk is busy this alone can take a second
        draft.path.mkdir(parents=True)
    try:
        yield draft
        with step("save"):
            _save(draft, shards, name)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def _save(draft: Draft, shards: Path, name: str) -> None:
    write_lines(draft.path / "manifest.jsonl", draft.manifest)
    write_lines(draft.path / "failed.jsonl", draft.failed)
    files = sorted(path for path in draft.path.rglob("*") if path.is_file())
    receipt = {
        "shard": name,
        "clips": len({row.get("recording", row["id"]) for row in draft.manifest}),
        "rows": len(draft.manifest),
        "failed": len(draft.failed),
        "files": {
            str(path.relative_to(draft.path)): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in files
        },
    }
    for path in files:
        sync(path)
        passing("shard file synced")
    sync(draft.path)
    write_json(draft.path / "receipt.json", receipt)
    passing("shard before its rename")
    try:
        draft.path.rename(shards / name)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if receipt_of(shards, name) is None:  # not a shard: the torso of a broken copy, set aside
            (shards / name).rename(shards / f".torso@{name}@{secrets.token_hex(6)}")
            passing("shard torso set aside")
            draft.path.rename(shards / name)
    passing("shard renamed")
    sync(shards)
    passing("shard in place")


def receipt_of(shards: Path, name: str) -> dict[str, Any] | None:
    return read_json(shards / name / "receipt.json")


def rows_of(stage: Path, kind: str = "manifest", shard: str = "*") -> Iterator[Row]:
    """Rows of every committed shard (or of the one named), in shard order; each knows its shard.

    kind: the JSON-lines file to read, "manifest", "failed" or one that the job wrote beside them.
    """
    for folder in shards_of(stage, shard):
        for row in read_lines(folder / f"{kind}.jsonl"):
            yield {**row, "shard": folder.name}


def shards_of(stage: Path, shard: str = "*") -> list[Path]:
    """The folders of every committed shard (or of the one named), in order."""
    found = (receipt.parent for receipt in stage.glob(f"shards/{shard}/receipt.json"))
    return sorted(folder for folder in found if not folder.name.startswith("."))


def clear_drafts(shards: Path, locked: bool) -> None:
    """Removes what dead jobs of this host left. Only for who holds the stage's lock: then all of them are dead."""
    if locked:
        for draft in shards.glob(f".draft@{here()}@*"):
            shutil.rmtree(draft, ignore_errors=True)


def clear_all_drafts(shards: Path) -> None:
    """Removes drafts of all hosts. Only for who holds the lock of a stage that is whole: nobody needs them."""
    for draft in shards.glob(".draft@*"):
        shutil.rmtree(draft, ignore_errors=True)


def clear_draft_of(shards: Path, pid: int | None) -> None:
    """Removes what a worker of this host left that is known to be dead."""
    for draft in shards.glob(f".draft@{here()}@*@{pid}-*"):
        shutil.rmtree(draft, ignore_errors=True)


def cut(rows: Iterable[Row], size: int, part: Part | None = None) -> list[Shard]:
    """Shards of at most `size` rows, named 00000, 00001, ...; `rows` is gone through once and not kept.

    part: whose shards alone get their rows; the others are there without.
    """
    left, shards = iter(rows), []
    for number in count():
        if part and number % part.tasks != part.number:
            mine, some = Rows(), sum(1 for _ in islice(left, size))
        else:
            mine = Rows(islice(left, size))
            some = len(mine)
        if not some:
            break
        shards.append(Shard(f"{number:05d}", mine))
    return shards
