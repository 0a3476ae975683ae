"""Small files written whole or not at all, and fingerprints of what shapes a stage."""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.runtime.faults import passing
from app.runtime.pace import PacedFile

BLOCK = 1 << 20  # bytes written at once
OLD_DRAFT_S = 24 * 3600.0  # of another host: nobody writes one file for so long


@contextmanager
def replacing(path: Path, synced: bool = True) -> Iterator[Path]:
    """A draft beside `path` to write to; synced and renamed over it when the block ends well.

    A reader sees the old file or the new one, never a part. Without `synced` a power cut may
    cost the file: for what is soon written again, as each sync makes others on the disk wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(path)
    try:
        yield draft
        passing(f"{path.name} written")
        if synced:
            sync(draft)
        passing(f"{path.name} synced")
        draft.replace(path)
        passing(f"{path.name} renamed")
        if synced:
            sync(path.parent)
        passing(f"{path.name} in place")
    finally:
        draft.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes, synced: bool = True) -> None:
    data = memoryview(content.encode() if isinstance(content, str) else content)
    with replacing(path, synced) as draft, draft.open("wb", buffering=0) as file:
        paced = PacedFile(file.fileno())
        # in two pieces at least, so that a test can kill between them
        size = min(BLOCK, max(1, len(data) // 2))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            while piece:
                count = file.write(piece)
                piece = piece[count:]
                paced.wrote(count)
            passing(f"{path.name} writing")


def write_json(path: Path, value: Any, synced: bool = True) -> None:
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", synced)


def here() -> str:
    """Where the number of a process means something: this host, and on it this container (its PID namespace)."""
    try:
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}@{here()}@{os.getpid()}@{secrets.token_hex(4)}")


def clear_torn(folder: Path, is_ours: bool = False) -> None:
    """Removes drafts of files and links that processes of this host left when they were killed.

    is_ours: nobody else is at work in this folder; drafts of other hosts and containers go too, once they are old (a
    lock may hold on one host only).
    """
    for draft in folder.glob(".*@*@*@*"):
        _, where, pid, _ = draft.name.rsplit("@", 3)
        with contextlib.suppress(OSError):  # whoever was quicker
            if where == here():
                if pid.isdigit() and not is_there(int(pid)):
                    draft.unlink()
            elif is_ours and time.time() - draft.lstat().st_mtime > OLD_DRAFT_S:
                draft.unlink()


def is_there(pid: int) -> bool:
    """Whether a process of this number lives here, whosever it is: /proc may hide those of others."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def read_json(path: Path) -> Any:
    """The content, or None where there is no such file (or only a torn one, left by another program)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON lines, into a draft folder: the folder's rename makes them count."""
    with path.open("w", encoding="utf-8") as file:
        paced = PacedFile(file.fileno())
        for row in rows:
            paced.wrote(file.write(json.dumps(row, ensure_ascii=False) + "\n"))
        passing(f"{path.name} writing")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def sync(path: Path) -> None:
    """What was written to this file or folder is on disk afterwards."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
        # some network file systems cannot sync a folder; the rename stands all the same
    finally:
        os.close(handle)


def point_link(link: Path, target: Path) -> None:
    """A symbolic link, made or turned in one step."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(link)
    draft.symlink_to(target)
    draft.replace(link)


def fingerprint(value: Any) -> str:
    """12 hex digits that change when any key or value of `value` does; key order does not matter."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
