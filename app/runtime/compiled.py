"""Loops over samples, frames and candidates that are compiled when first used and kept for the next process."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])
# sums may be taken in any order, and nothing that comes in is NaN or becomes it: so a loop fills the vector registers
FAST = {"reassoc", "contract", "arcp", "nsz", "nnan"}


def compiled(loop: Loop) -> Loop:
    """The loop as machine code, for arrays and numbers; whoever calls it sees that nothing is NaN.

    It is kept beside its source, or, where that may not be written, in the user's cache folder or in
    NUMBA_CACHE_DIR; where no place is left each process compiles for itself, which takes seconds.
    """
    try:
        made: Any = numba.njit(cache=True, fastmath=FAST, nogil=True)(loop)
    except RuntimeError:  # "no locator available": nowhere to write
        made = numba.njit(fastmath=FAST, nogil=True)(loop)
    return made
