"""A job as a process, whose work is chosen: python -m tests.runtime.slow_job --config ... --runs ...

WORK: a function of tests.runtime.work (double); ARGS: what it gets, as JSON; CLIPS (24) in shards of SHARD (3).
NO_LOCKS=refused or granted: stands in for a disk whose locks are refused, or granted to everybody.
"""

import fcntl
import json
import os
import sys

from app.runtime.job import open_job
from app.runtime.run import Run, job_main
from app.runtime.shards import cut
from tests.runtime import work

SPEC = {"job": "double", "version": 1, "config": {}, "inputs": {}}


def slow(run: Run) -> None:
    """Doubles numbers, slowly."""
    env = os.environ.get
    with open_job(run, "double", SPEC) as job:
        if not job.complete:
            shards = cut([{"id": str(n)} for n in range(int(env("CLIPS", "24")))], int(env("SHARD", "3")))
            does, args = getattr(work, env("WORK", "double")), json.loads(env("ARGS", '{"pause_s": 0.1}'))
            job.run(does, shards, preload="json", row_bytes=lambda row: 100, **args)


def without_locks(way: str) -> None:
    def flock(handle: int, operation: int) -> None:
        if way == "refused":
            raise OSError(37, "No locks available")

    fcntl.flock = flock


if __name__ == "__main__":
    if os.environ.get("NO_LOCKS"):
        without_locks(os.environ["NO_LOCKS"])
    sys.exit(job_main(slow))
