"""All features in a GPU's own memory, where they fit: no step waits for a disk."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.features.batches import AnyBatch
from app.features.store import Stored

PIECE = 256  # clips that are brought at once


class Resident:
    """The clips of `features` on `device`, as they lie on disk; half the bytes of what a model gets."""

    def __init__(self, features: Stored[Any], device: torch.device) -> None:
        first = features.stored_batch(np.arange(1))
        self._all = first.each(lambda v: v.new_empty((len(features), *v.shape[1:]), device=device))
        padded = False
        for at in range(0, len(features), PIECE):
            piece = features.stored_batch(np.arange(at, min(at + PIECE, len(features))))
            for there, values in zip(self._all.part(at, PIECE)[:-1], piece[:-1], strict=True):
                there.copy_(values)
            padded = padded or piece.padded
        self._all = self._all._replace(padded=padded)

    def batch(self, numbers: NDArray[np.int64]) -> AnyBatch:
        """Those clips, as Features.stored_batch gives them, gathered without waiting for the GPU."""
        index, device = torch.from_numpy(numbers), self._all.targets.device
        if device.type == "cuda":
            index = index.pin_memory().to(device, non_blocking=True)
        return self._all.each(lambda values: values.index_select(0, index))
