"""Shard work for tests, where worker processes can import it."""

import os
import signal
import time

from app.runtime.shards import Draft, Shard
from app.runtime.workers import leave_if_stopped


def double(shard: Shard, out: Draft, pause_s: float = 0.0, bad: tuple[str, ...] = ()) -> None:
    for row in shard.rows:
        leave_if_stopped()
        time.sleep(pause_s)
        if row["id"] in bad:
            out.fail(row, "bad")
        else:
            out.done({**row, "twice": 2 * int(row["id"])})


def die_once(shard: Shard, out: Draft, mark: str) -> None:
    """The first worker to come by is killed, as by the OOM killer."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        double(shard, out)
        return
    os.kill(os.getpid(), signal.SIGKILL)


def always_die(shard: Shard, out: Draft) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raise_it(shard: Shard, out: Draft) -> None:
    raise ValueError("a bug of ours")
