"""Somebody else on this machine: computes on some cores, or writes to the disk, and counts what he gets done.

    python -m bench.neighbour cpu CORES SECONDS
    python -m bench.neighbour disk FOLDER SECONDS

Says "ready", waits for a line, works, prints the work done as JSON: [in the first ARRIVAL_S seconds, later].
Work is hashing blocks of 64 kB, or writing 4 MB to disk for good; standard library only.
"""

import hashlib
import json
import os
import sys
import time
from multiprocessing import Barrier, Pipe, Process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier as BarrierType
from pathlib import Path

ARRIVAL_S = 3.0
BLOCK, DISK_BLOCK, DISK_BLOCKS = bytes(1 << 16), bytes(4 << 20), 16


def main() -> None:
    kind, what, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if kind == "disk":
        _ready()
        print(json.dumps(write(Path(what), seconds)))
        return
    cores = int(what)
    together, ears, workers = Barrier(cores + 1), [], []
    for _ in range(cores):
        ear, mouth = Pipe(duplex=False)
        workers.append(Process(target=_hash, args=(together, mouth, seconds)))
        ears.append(ear)
        workers[-1].start()
    _ready()
    together.wait()
    done = [ear.recv() for ear in ears]
    print(json.dumps([sum(parts) for parts in zip(*done, strict=True)]))


def write(folder: Path, seconds: float) -> list[int]:
    """Blocks of 4 MB written and synced: early and later."""
    path = folder / f"neighbour-{os.getpid()}"
    handle, done, began = os.open(path, os.O_WRONLY | os.O_CREAT), [0, 0], time.monotonic()
    try:
        while (spent := time.monotonic() - began) < seconds:
            os.pwrite(handle, DISK_BLOCK, sum(done) % DISK_BLOCKS * len(DISK_BLOCK))
            os.fsync(handle)
            done[spent >= ARRIVAL_S] += 1
    finally:
        os.close(handle)
        path.unlink()
    return done


def _hash(together: BarrierType, mouth: Connection, seconds: float) -> None:
    together.wait()
    done, began = [0, 0], time.monotonic()
    while (spent := time.monotonic() - began) < seconds:
        hashlib.sha256(BLOCK).digest()
        done[spent >= ARRIVAL_S] += 1
    mouth.send(done)


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
