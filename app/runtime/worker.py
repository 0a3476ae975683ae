"""A worker process: takes shards from its job, does and commits each by itself, and dies with its job."""

import os
import pickle
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from app.errors import Stopped
from app.runtime import seat as seats
from app.runtime.forked import end_with_the_forkserver, hush
from app.runtime.machine import give_memory_back, gpu_megabytes, keep_freed_memory, out_of_memory
from app.runtime.pace import PACE
from app.runtime.shards import Shard, commit
from app.runtime.steps import taken_steps

ShardWork = Callable[..., None]  # (shard, out, **args): fills the draft
PR_SET_PDEATHSIG = 1


@dataclass
class Order:
    """A shard to do, and what was learnt of it when it was tried before."""

    shard: Shard
    shrink: int = 1  # clips at a time are divided by it: it was too much for the memory
    given_up: dict[str, tuple[str, str]] = field(default_factory=dict)  # clip -> (cause, detail): not touched again


class Done(NamedTuple):
    """A shard that was committed."""

    shard: str
    clips: int
    failed: int
    seconds: float = 0.0  # that its worker was busy with it, rests left out
    steps: Mapping[str, float] = MappingProxyType({})  # seconds of them by the name of the step
    gpu_mb: float = 0.0  # that its process has held on a GPU at most


def do_shard(work: ShardWork, order: Order, shards: Path, args: dict[str, Any]) -> Done:
    """Does and commits one shard."""
    shard, began = order.shard, seats.worked_s()
    taken_steps()
    with commit(shards, shard.name) as out:
        out.shrink, out.given_up = order.shrink, order.given_up
        work(shard, out, **args)
        seats.take_in_hand(seats.NOTHING)
        out.account_for(shard)
    failed = len(out.failed)
    give_memory_back()
    seconds = seats.worked_s() - began
    return Done(shard.name, len(shard.rows) - failed, failed, seconds, taken_steps(), gpu_megabytes())


def worker_main(
    pipe: Connection, alive: Connection, seat: seats.Seat, bytes_per_s: float, gpus: str | None = None
) -> None:
    """The life of a worker: (work, order, shards, args) come in, ("done", Done) goes out, or what went wrong.

    pipe: to and from the job. alive: closes when the job dies, however it dies. gpus: CUDA_VISIBLE_DEVICES
    of the job, which the forkserver may have been started without.
    """
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    end_with_the_forkserver()
    threading.Thread(target=_leave_with_job, args=(alive,), daemon=True).start()
    seats.sit(seat)
    PACE.limit(bytes_per_s)
    hush()
    keep_freed_memory()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if task is None:
            return
        try:
            answer: tuple[Any, ...] = ("done", do_shard(*task))
        except Stopped as stopped:
            answer = ("dropped", str(stopped))
        except Exception as error:
            answer = ("error", _sendable(error), traceback.format_exc())
            if out_of_memory(error):
                answer = ("memory",)
        seat.row = seats.NOTHING
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _leave_with_job(alive: Connection) -> None:
    """A worker whose job was killed must not stay behind, holding memory that is somebody else's."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
