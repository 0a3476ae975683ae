"""A job of 24 clips in 8 shards, as a process: python -m tests.runtime.slow_job --config ... --runs ...

PAUSE_S: seconds a clip. NO_LOCKS=refused or granted: stands in for a disk whose locks are
refused, or granted to everybody.
"""

import fcntl
import os
import sys

from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import cut
from tests.runtime.work import double

SPEC = {"job": "double", "version": 1, "config": {}, "inputs": {}}


def slow(run: Run) -> None:
    """Doubles numbers, slowly."""
    with open_job(run, "double", SPEC) as job:
        if not job.complete:
            shards = cut([{"id": str(n)} for n in range(24)], 3)
            pause_s = float(os.environ.get("PAUSE_S", "0.1"))
            job.run(double, shards, preload="json", row_bytes=lambda row: 100, pause_s=pause_s)


def without_locks(way: str) -> None:
    def flock(handle: int, operation: int) -> None:
        if way == "refused":
            raise OSError(37, "No locks available")

    fcntl.flock = flock


if __name__ == "__main__":
    if os.environ.get("NO_LOCKS"):
        without_locks(os.environ["NO_LOCKS"])
    sys.exit(job_main(slow))
