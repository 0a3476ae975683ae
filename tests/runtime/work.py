"""Shard work for tests, where worker processes can import it."""

import ctypes
import os
import signal
import time
from pathlib import Path

from app.runtime.seat import breathe
from app.runtime.shards import Draft, Shard
from app.runtime.steps import step


def double(shard: Shard, out: Draft, pause_s: float = 0.0, bad: tuple[str, ...] = ()) -> None:
    for row in out.each(shard):
        time.sleep(pause_s)
        if row["id"] in bad:
            out.fail(row, "bad")
        else:
            out.done({**row, "twice": 2 * int(row["id"])})


def first_time(mark: str) -> bool:
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die_once(shard: Shard, out: Draft, mark: str) -> None:
    """The first worker to come by is killed, as by the OOM killer."""
    if first_time(mark):
        os.kill(os.getpid(), signal.SIGKILL)
    double(shard, out)


def always_die(shard: Shard, out: Draft) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def poisoned(shard: Shard, out: Draft, segfault: tuple[str, ...], hang: tuple[str, ...], note: str) -> None:
    """A stub of a decoder that crashes for good on some clips and never comes back from others."""
    for row in out.each(shard):
        with Path(note).open("a") as file:
            file.write(f"{row['id']}\n")
        if row["id"] in segfault:
            ctypes.string_at(0)
        while row["id"] in hang:
            pass
        out.done({**row, "twice": 2 * int(row["id"])})


def hungry(shard: Shard, out: Draft, most_mb: int, clip_mb: int = 30, seconds: float = 60.0) -> None:
    """Needs memory for all its clips at a time, less when told to take fewer; each shard notes how many it took."""
    at_once = max(1, len(shard.rows) // out.shrink)
    if at_once * clip_mb > most_mb:
        block = bytearray(os.urandom(1 << 20)) * (at_once * clip_mb)
        end = time.monotonic() + seconds
        while block and time.monotonic() < end:
            breathe()
            time.sleep(0.05)
    for row in out.each(shard):
        out.done({**row, "at_once": at_once})


def out_of_memory(shard: Shard, out: Draft) -> None:
    if out.shrink < 4:
        raise MemoryError
    double(shard, out)


def long_clip(shard: Shard, out: Draft, seconds: float) -> None:
    """One clip that takes long and breathes all the while, as an hour of windows does."""
    for row in out.each(shard):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
            breathe()
        out.done({**row, "twice": 2 * int(row["id"])})


def raise_it(shard: Shard, out: Draft) -> None:
    raise ValueError("a bug of ours")


def deaf(shard: Shard, out: Draft, seconds: float) -> None:
    """Work that does not breathe."""
    time.sleep(seconds)
    for row in out.each(shard):
        out.done(row)


def burning(shard: Shard, out: Draft, seconds: float) -> None:
    """Clips that need so much of a core's time each, without a breath."""
    for row in out.each(shard):
        with step("burn"):
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
        out.done(row)
