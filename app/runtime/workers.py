"""A few processes that compute shards. The parent counts, logs and listens; only workers touch audio.

A worker does a whole shard and commits it itself. One that dies (segfault, OOM
killer) costs its shard one more try; what was committed stays committed.
"""

import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from app.errors import Stopped, UserError
from app.runtime.shards import Shard, commit
from app.runtime.stop import STOP_SIGNALS, StopFlag

ShardWork = Callable[..., None]  # (shard, out, **args): fills the draft
TRIES = 3
_stop_event: Event | None = None


def leave_if_stopped() -> None:
    """Called by workers between clips: raises Stopped, which drops the draft, once the parent was told to stop."""
    if _stop_event is not None and _stop_event.is_set():
        raise Stopped


def run_shards(
    work: ShardWork, todo: list[Shard], shards: Path, args: dict[str, Any], workers: int, stop: StopFlag, preload: str
) -> Iterator[tuple[str, int, int]]:
    """Computes `todo` in `workers` processes; yields (shard, clips, failed) as each is committed.

    Ends early, without an error, when `stop` is raised: what is in hand is dropped
    at the next clip and done again next time. Raises UserError when a shard killed
    its worker three times; an exception in `work` is passed on as it is.
    """
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([preload])  # libraries are loaded once and shared by all workers
    _start_helpers()
    event = context.Event()
    alive, held = context.Pipe(duplex=False)  # closes when this process dies, however it dies
    waiting, deaths = list(reversed(todo)), dict.fromkeys((shard.name for shard in todo), 0)
    with alive, held:
        while waiting and not stop:
            pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(event, alive))
            running: dict[Future[tuple[str, int, int]], Shard] = {}
            try:
                while (waiting or running) and not (stop and not running):
                    while waiting and len(running) < workers and not stop:
                        # taken from the list once it is handed over: a broken pool refuses it
                        running[pool.submit(_do_shard, work, waiting[-1], shards, args)] = waiting[-1]
                        waiting.pop()
                    if stop:
                        event.set()
                    finished, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in finished:
                        try:
                            yield future.result()
                        except Stopped:
                            pass
                        # only now: a broken pool must still know what it held
                        running.pop(future)
            except BrokenProcessPool:
                lost = list(running.values())
                for shard in lost:
                    deaths[shard.name] += 1
                    if deaths[shard.name] >= TRIES:
                        raise UserError(
                            f"shard {shard.name} ({shard.rows[0]['id']} ... {shard.rows[-1]['id']}): "
                            f"its worker was killed {TRIES} times, out of memory or by a crash in a library",
                            "free memory, or use fewer WORKERS",
                        ) from None
                waiting += reversed(lost)
                time.sleep(1.0)
            finally:
                event.set()
                pool.shutdown(wait=True, cancel_futures=True)
                if not stop:
                    event.clear()


def run_here(
    work: ShardWork, todo: list[Shard], shards: Path, args: dict[str, Any], stop: StopFlag
) -> Iterator[tuple[str, int, int]]:
    """As run_shards, in this very process; `work` asks `args` for the stop flag itself if its shards are long."""
    for shard in todo:
        if stop:
            return
        yield _do_shard(work, shard, shards, args)


def _do_shard(work: ShardWork, shard: Shard, shards: Path, args: dict[str, Any]) -> tuple[str, int, int]:
    with commit(shards, shard.name) as out:
        work(shard, out, **args)
        out.account_for(shard)
    return shard.name, len(shard.rows) - len(out.failed), len(out.failed)


def _start_helpers() -> None:
    """Starts multiprocessing's own two processes deaf to the stop signals, which a terminal sends to the whole group.

    They inherit the blocked signals, and so do the workers: the parent hears and tells them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # it unblocks some on its way
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(event: Event, alive: Connection) -> None:
    global _stop_event
    _stop_event = event
    threading.Thread(target=_leave_with_parent, args=(alive,), daemon=True).start()


def _leave_with_parent(alive: Connection) -> None:
    """A worker whose parent was killed must not stay behind, holding memory that is somebody else's."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
