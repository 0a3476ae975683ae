"""Memory-mapped arrays of shards; however many shards there are, few files are open at once."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPEN_ARRAYS = 256  # each holds a file descriptor, of which a process usually has 1024


@lru_cache(OPEN_ARRAYS)
def mapped(path: Path) -> NDArray[Any]:
    """A .npy file, read where it is touched. A committed shard never changes, so it may stay open."""
    return np.load(path, mmap_mode="r")
