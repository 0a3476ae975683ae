"""A shard is on disk whole or not at all: written to a draft folder, synced, renamed onto an absent name.

Whoever comes second discards its copy, so two jobs on one shard cost time and
never data. The receipt is the only mark of "done" and the resume journal; it
holds no times, so that a broken run and an unbroken one leave the same bytes.
"""

import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.runtime.files import read_json, read_lines, sha256_of, sync, write_json, write_lines


@dataclass(frozen=True)
class Shard:
    """A piece of a job's work: a name of its own and the rows to do."""

    name: str
    rows: tuple[dict[str, Any], ...] = ()


@dataclass
class Draft:
    """What a shard will hold: files in `path`, one manifest row or one failed row for each clip."""

    path: Path
    manifest: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def done(self, row: dict[str, Any]) -> None:
        self.manifest.append(row)

    def fail(self, row: dict[str, Any], cause: str, detail: str = "") -> None:
        known = {key: row[key] for key in ("id", "path", "split") if row.get(key) is not None}
        self.failed.append({**known, "cause": cause, "detail": detail})

    def account_for(self, shard: Shard) -> None:
        """Every row that went in came out or failed. A row of a window names its `recording`."""
        out = {row.get("recording", row["id"]) for row in self.manifest}
        failed = {row["id"] for row in self.failed}
        lost = {row["id"] for row in shard.rows} ^ (out | failed)
        if lost or out & failed:
            raise RuntimeError(f"shard {shard.name}: unaccounted clips {sorted(lost or out & failed)[:3]}")


@contextmanager
def commit(shards: Path, name: str) -> Iterator[Draft]:
    """A draft that becomes shards/NAME when the block ends, and nothing when it raises."""
    shards.mkdir(parents=True, exist_ok=True)
    draft = Draft(shards / f".draft@{socket.gethostname()}@{name}@{secrets.token_hex(6)}")
    draft.path.mkdir()
    try:
        yield draft
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
        write_json(draft.path / "receipt.json", receipt)
        try:
            draft.path.rename(shards / name)
        except OSError:
            if receipt_of(shards, name) is None:  # not a shard: the torso of a broken copy, set aside
                (shards / name).rename(shards / f".torso@{name}@{secrets.token_hex(6)}")
                draft.path.rename(shards / name)
        sync(shards)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def receipt_of(shards: Path, name: str) -> dict[str, Any] | None:
    return read_json(shards / name / "receipt.json")


def rows_of(stage: Path, kind: str = "manifest", shard: str = "*") -> Iterator[dict[str, Any]]:
    """Rows of every committed shard (or of the one named), in shard order; each knows its shard.

    kind: the JSON-lines file to read, "manifest", "failed" or one that the job wrote beside them.
    """
    for receipt in sorted(stage.glob(f"shards/{shard}/receipt.json")):
        for row in read_lines(receipt.parent / f"{kind}.jsonl"):
            yield {**row, "shard": receipt.parent.name}


def clear_drafts(shards: Path, locked: bool) -> None:
    """Removes what dead jobs of this host left. Only for who holds the stage's lock: then all of them are dead."""
    if locked:
        for draft in shards.glob(f".draft@{socket.gethostname()}@*"):
            shutil.rmtree(draft, ignore_errors=True)


def cut(rows: list[dict[str, Any]], size: int) -> list[Shard]:
    """Shards of at most `size` rows, named 00000, 00001, ..."""
    return [Shard(f"{n:05d}", tuple(rows[at : at + size])) for n, at in enumerate(range(0, len(rows), size))]
