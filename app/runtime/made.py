"""By what and where something was made: commit, packages, machine. For information; no fingerprint holds it."""

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.runtime.files import read_json, write_json
from app.runtime.machine import usable_cores, usable_memory

ROOT = Path(__file__).resolve().parents[2]


def made_here(gpus: Sequence[str] = ()) -> dict[str, Any]:
    """{"commit", "python", "machine": {...}, "packages": {name: version}}. gpus: names of those that are used."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": usable_cores(),
            "memory_gb": round(usable_memory() / 1e9, 1),
            "gpus": list(gpus),
        },
        "packages": dict(sorted(_packages())),
    }


def note_made(path: Path, gpus: Sequence[str] = (), **more: Any) -> None:
    """Adds {"since", **made_here(gpus), **more} to the list in `path`, unless its last entry says the same."""
    here = {**made_here(gpus), **more}
    before = read_json(path) or []
    if not before or {key: value for key, value in before[-1].items() if key != "since"} != here:
        write_json(path, [*before, {"since": time.strftime("%F %T%z"), **here}])


def commit(root: Path = ROOT) -> str | None:
    """Of our checkout, with "+" where files that git knows were changed since; None where nobody knows.

    An image was told when it was built (MOKSORI_COMMIT).
    """
    if told := os.environ.get("MOKSORI_COMMIT"):
        return told
    top, head = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "HEAD")
    if not head or not top or Path(top).resolve() != root.resolve():  # else of another tree around ours
        return None
    return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _packages() -> list[tuple[str, str]]:
    found = [(there.metadata["Name"], there.version) for there in importlib.metadata.distributions()]
    return [(name, version) for name, version in found if name]
