"""Starts a neighbour or a job of ours as they come to a machine, and reads what each gets done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import UserError
from bench.cgroups import enter
from bench.neighbour import ARRIVAL_S

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("CONFIG", "RUN", "DATA", "RUNS", "WORKERS", "DEVICE")  # of the jobs: ours here get their own
AT_WORK_S = 120.0  # so long our job may take to begin
WARM_CLIPS = 32  # of each worker, before it counts as at work


def neighbour(
    kind: str, what: str, seconds: float, cpus: Sequence[int], group: Path | None, count: Callable[[], int] = lambda: 0
) -> dict[str, float]:
    """Works for some seconds in a session of its own; work a second, the first seconds apart, and what `count` grew."""
    (found,) = neighbours(kind, what, seconds, [cpus], group, count)
    return found


def neighbours(
    kind: str,
    what: str,
    seconds: float,
    places: Sequence[Sequence[int]],
    group: Path | None = None,
    count: Callable[[], int] = lambda: 0,
) -> list[dict[str, float]]:
    """As many as there are places (cores each may use), at the same time."""
    command = [sys.executable, "-m", "bench.neighbour", kind, what, str(seconds)]
    started = [_start(command, cpus, group, subprocess.PIPE) for cpus in places]
    try:
        if any(process.stdout.readline() != "ready\n" for process in started if process.stdout):
            raise RuntimeError("bench.neighbour did not begin")
        before = count()
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        done = [json.loads(process.stdout.readline()) for process in started if process.stdout]
        ours = (count() - before) / seconds
    finally:
        for process in started:
            process.communicate()
    return [
        {"rate": (early + later) / seconds, "later_rate": later / (seconds - ARRIVAL_S), "ours": ours}
        for early, later in done
    ]


@contextmanager
def our_job(
    folder: Path, workers: int, cpus: Sequence[int], group: Path | None, settings: Sequence[str]
) -> Iterator[Callable[[], int]]:
    """A job of ours at work, in a session of its own; gives how many clips it has done. Its folder goes at the end."""
    runs, log = folder / "ours", folder / "ours.log"
    runs.mkdir(parents=True)
    command = [sys.executable, "-m", "bench.ours", "--config", "configs/default.yaml", "--run", "bench"]
    command += ["--runs", str(runs), "--data", str(runs), "--workers", str(workers)]
    command += [part for item in settings for part in ("--set", item)]
    with log.open("w") as out:
        process = _start(command, cpus, group, out.fileno())

        def count() -> int:
            try:
                return (runs / "clips").stat().st_size
            except FileNotFoundError:
                return 0

        try:
            began = time.monotonic()
            while count() < WARM_CLIPS * workers:
                if process.poll() is not None or time.monotonic() - began > AT_WORK_S:
                    raise UserError(
                        f"our job did not get to work in {AT_WORK_S:g} s:\n{log.read_text()[-2000:]}",
                        "where it says that others use the cores, wait until this machine is quiet",
                    )
                time.sleep(0.1)
            yield count
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    shutil.rmtree(runs)
    os.sync()  # what we have left to write is not the next round's


def _start(command: list[str], cpus: Sequence[int], group: Path | None, out: int) -> "subprocess.Popen[str]":
    """out: subprocess.PIPE to talk with it, or a file for all it says."""
    talks = out == subprocess.PIPE
    into = enter(group)

    def begin() -> None:
        into()
        os.sched_setaffinity(0, cpus)

    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in SETTINGS},
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
        stdout=out,
        stderr=None if talks else out,
        text=True,
        start_new_session=True,
        preexec_fn=begin,  # noqa: PLW1509 - there are no threads here
    )
