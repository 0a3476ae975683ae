"""Batches of an epoch, in its order, ahead of whoever computes: from disk, or from the GPU's own memory."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.compat import free_on
from app.features.at_once import nobody
from app.features.batches import AnyBatch
from app.features.store import Stored
from app.learning.resident import Resident
from app.learning.world import Alone
from app.runtime.room import amount
from app.runtime.seeds import seed_of
from app.runtime.steps import step

if TYPE_CHECKING:  # rendering is for those who mix on the fly
    from app.learning.fresh import Fresh

RESIDENT = 0.5  # of the memory that is free to us on a GPU, at most, is given to features
READERS, AHEAD = 4, 8  # threads that read for a GPU, and how many batches; on a CPU one of each


class Supply:
    """The training clips, an epoch in an order of its own; each process of `world` gets its part of every batch."""

    def __init__(
        self,
        features: Stored[Any],
        batch_clips: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        world: Alone | None = None,
        say: Callable[[str], None] = nobody,
        fresh: "Fresh | None" = None,
    ) -> None:
        """batch_clips: of all processes together. say: gets a line where the features go to the GPU for good.

        fresh: renders other clips each epoch, in place of the stored ones.
        """
        self.features, self.batch_clips, self.seed = features, batch_clips, seed
        self.device, self.dtype, self.world = device, dtype, world or Alone()
        self.steps = -(-len(features) // batch_clips)  # in an epoch
        self._resident: Resident | None = None
        self._fresh = fresh
        if device.type == "cuda" and not fresh:
            needed, free = len(features) * features.clip_bytes(), free_on(device)
            if needed < RESIDENT * free:
                say(f"all features ({amount(needed)}) stay on the GPU, which has {amount(free)} free for us")
                self._resident = Resident(features, device)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[AnyBatch, int]]:
        """From the `first`-th of the epoch on: this process' part, and how many clips the batch has in all."""
        order = np.random.default_rng(seed_of(self.seed, "epoch", epoch)).permutation(len(self.features))
        wholes = [order[n * self.batch_clips : (n + 1) * self.batch_clips] for n in range(first, self.steps)]
        parts = [self.world.share(whole) for whole in wholes]
        if self._fresh:
            found = _waited_for(self._fresh.batches(epoch, parts))
        else:
            found = map(self._resident.batch, parts) if self._resident else self._ahead(parts)
        for whole, batch in zip(wholes, found, strict=True):
            yield batch.to(self.device, self.dtype), len(whole)

    def close(self) -> None:
        """No more epochs."""
        if self._fresh:
            self._fresh.close()

    def _ahead(self, parts: list[NDArray[np.int64]]) -> Iterator[AnyBatch]:
        """The parts in turn, those after it being read while one is computed."""
        readers, ahead = (READERS, AHEAD) if self.device.type == "cuda" else (1, 1)
        coming: deque[Future[AnyBatch]] = deque()
        with ThreadPoolExecutor(readers) as pool:
            for n in range(len(parts)):
                while len(coming) <= ahead and n + len(coming) < len(parts):
                    coming.append(pool.submit(self._read, parts[n + len(coming)]))
                with step("wait for a batch"):
                    batch = coming.popleft().result()
                yield batch

    def _read(self, part: NDArray[np.int64]) -> AnyBatch:
        batch = self.features.stored_batch(part)
        return batch.each(Tensor.pin_memory) if self.device.type == "cuda" else batch


def _waited_for(batches: Iterator[AnyBatch]) -> Iterator[AnyBatch]:
    while True:
        with step("wait for a batch"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
