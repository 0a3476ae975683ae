"""Is there room on the disk? Asked before the work, and told with both numbers when it ran out all the same."""

import os
from pathlib import Path

from app.errors import UserError

SPARE = 2 << 20  # bytes beyond what the work itself writes: status, log, tables


def free_bytes(folder: Path) -> int:
    """What we may still write on the disk of `folder` (or of its nearest folder that is there)."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def check_room(folder: Path, needed: float, label: str) -> None:
    """UserError unless `needed` bytes fit on the disk of `folder`."""
    if needed + SPARE > free_bytes(folder):
        raise no_room(folder, needed, label)


def no_room(folder: Path, needed: float, label: str) -> UserError:
    free = free_bytes(folder)
    return UserError(
        f"{label}: no room on the disk of {folder}: {amount(free)} free, about {amount(needed + SPARE)} needed",
        f"free {amount(max(needed + SPARE - free, 1 << 20))} there, or choose another disk with RUNS=...; "
        "then the same command goes on",
    )


def amount(count: float) -> str:
    """Bytes to read: 640 MB, 1.3 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
