"""Loops over samples, frames and candidates that are compiled when first used and kept for the next process."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])
# sums may be taken in any order, and nothing that comes in is NaN or becomes it: so a loop fills the vector registers
FAST = {"reassoc", "contract", "arcp", "nsz", "nnan"}
APP = Path(__file__).resolve().parents[1]


def compiled(loop: Loop) -> Loop:
    """The loop as machine code, for arrays and numbers; whoever calls it sees that nothing is NaN.

    It is kept in NUMBA_CACHE_DIR, or beside the code, or, where that may not be written, in the
    user's cache folder; where no place is left each process compiles for itself, which takes seconds.
    """
    try:
        made: Any = numba.njit(cache=True, fastmath=FAST, nogil=True)(loop)
    except RuntimeError:  # "no locator available": nowhere to write
        made = numba.njit(fastmath=FAST, nogil=True)(loop)
    return made


def kept_in(app: Path = APP) -> Path:
    """The folder for the machine code of these sources.

    numba looks at the file of a loop alone, not at the files of the loops that it calls: with a folder for each state
    of all of them no machine code is older than its source.
    """
    sources = sorted([*app.rglob("*_loops.py"), *app.rglob("*_plan.py"), Path(__file__)])
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    places = [app / "__pycache__"]
    with suppress(RuntimeError):  # a user may have no home
        places.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moksori")
    if asked := os.environ.get("NUMBA_CACHE_DIR"):
        places.insert(0, Path(asked))
    return next((place for place in places if _writable(place)), places[0]) / f"loops-{state}"


def _bring(folder: Path) -> None:
    """Puts there what an image has compiled when it was built (jobs/loops.py), in MOKSORI_LOOPS."""
    brought = Path(os.environ.get("MOKSORI_LOOPS") or "/nowhere") / folder.name
    if folder.exists() or not brought.is_dir():
        return
    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    with suppress(OSError):  # then they are compiled, which takes longer
        shutil.copytree(brought, draft)
        draft.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)  # another job was first


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


KEPT_IN = kept_in()
_bring(KEPT_IN)
# numba fills its config as it is imported, which mypy does not see
numba.config.CACHE_DIR = str(KEPT_IN)  # type: ignore[attr-defined]
