"""The processes that train one model together: one alone, or a group that torchrun has started."""

import os
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from app.errors import Stopped, UserError

MEET_S = 120.0  # for all to meet; then all begin again
GONE = ("gloo/transport", "Connection closed by peer", "Connection reset by peer", "remote process exited")
LONGEST_WAIT = timedelta(days=30)  # for one that leaves the cores to others; who dies is noticed at once


class Alone:
    """One process: nothing is to be agreed upon."""

    rank, size = 0, 1

    def sum_(self, tensor: Tensor) -> None:
        """Over all processes, in place; the same in each."""

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        """Those of the first process for all, in place."""

    def any(self, flag: bool) -> bool:
        """Whether one of the processes says so. All must ask at the same point."""
        return flag

    def agree(self, number: int) -> bool:
        """Whether all have the same number. All must ask at the same point."""
        return True

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process' rows of what all do together; shares differ by one row at most, and may be empty."""
        return np.array_split(rows, self.size)[self.rank]

    def leave_together(self, left: BaseException | None) -> None:
        """Raises `left` where it is one, and Stopped in all other processes. All must come to the same point."""
        if self.any(left is not None):
            raise left or Stopped("a process beside this one was told to stop")


class Group(Alone):
    """As torchrun's environment tells it. Tensors on a GPU are summed by NCCL, those on a CPU by gloo."""

    def __init__(self, device: torch.device) -> None:
        """device: where this process computes. Waits until all are there, and ends the process if that takes long."""
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        too_late = threading.Timer(MEET_S, os._exit, (1,))
        too_late.start()
        # flags travel on the CPU, so that asking them waits for no GPU
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=LONGEST_WAIT)
        distributed.all_reduce(torch.zeros(1))
        too_late.cancel()

    def sum_(self, tensor: Tensor) -> None:
        distributed.all_reduce(tensor)

    def from_first(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            packed = tensor.contiguous()
            distributed.broadcast(packed, 0)
            tensor.copy_(packed)

    def any(self, flag: bool) -> bool:
        found = torch.tensor(int(flag))
        distributed.all_reduce(found)
        return bool(found)

    def agree(self, number: int) -> bool:
        found = torch.tensor([number, -number])
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return bool(found.sum() == 0)

    def close(self) -> None:
        distributed.destroy_process_group()


def lost_peer(error: RuntimeError) -> str:
    """What gloo or NCCL says where a process beside this one is gone; "" where it is another error."""
    words = str(error)
    return words.splitlines()[0] if any(sign in words for sign in GONE) else ""


def heard(heed: Callable[[], None]) -> Stopped | UserError | None:
    """What `heed` raised to leave; None: nothing."""
    try:
        heed()
    except (Stopped, UserError) as error:
        return error
    return None
