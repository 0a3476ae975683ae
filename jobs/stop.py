"""Stops jobs politely, on whichever host they run: make stop JOB=extract RUN=..., or JOB=all."""

import argparse
import difflib
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from app.errors import ACT, DONE, UserError
from app.runtime.queue import queued, take_back
from app.runtime.series import SERIES
from app.runtime.tell import span
from jobs.status import asked_run, belongs, is_at_work, label_of, no_job, tasks_under

MORE_S = 10.0  # beyond the job's own grace, for its last heartbeat and a slow shared disk
NEXT_S = 6.0  # a job that was done before it heard may be followed by the next of its chain within this
LOOK_S = 0.3
JOBS = ("prepare", "denoise", "mix", "extract", "train", "infer", "evaluate", *SERIES)
TELL_S = 5.0


def main() -> int:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.stop", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--run", default=asked_run(), help="of this run (RUN); default: the one that is at work")
    parser.add_argument("--job", default=env("JOB") or None, help="this job (JOB); all: every job of the run")
    args = parser.parse_args()
    try:
        return stop(Path(args.runs), args.run, args.job)
    except UserError as error:
        print(f"stop: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stop: they have been told; `make status` shows when they have stopped", file=sys.stderr)
    return ACT


def stop(runs: Path, run: str | None, job: str | None) -> int:
    """Leaves a STOP file with each job at work that is meant, and waits until they have ended.

    A chain of jobs is watched too: what takes the place of a job that was just done is told as well.
    Raises UserError where it is not clear which job is meant, or one does not answer.
    """
    handed_over = [one for one in queued(runs, run) if job in (None, "all", one.name.removesuffix("-join"))]
    for one in handed_over:
        (runs / one.run / "slurm" / f"{one.name}.STOP").touch()  # what stops now is not queued again
    take_back(handed_over)
    for one in (one for one in handed_over if one.state == "PENDING"):
        print(f"{one.name} of run {one.run}: Slurm's job {one.id} is cancelled", file=sys.stderr)
    mine = [task for task in tasks_under(runs) if belongs(task, run, job)]
    meant = [task for task in mine if is_at_work(task)]
    for task in (task for task in mine if task["state"] == "stale"):
        _say(task, f"stale: process {task['pid']} on {task['host']}, last heard of {_clock(task)}: {task['note']}")
    if not meant:
        known = {"all", *JOBS, *(name for task in tasks_under(runs) for name in (task["job"], label_of(task)))}
        if job and job not in known:
            near = difflib.get_close_matches(job, known, n=1)
            hint = f"did you mean JOB={near[0]}?" if near else f"JOB=... one of {', '.join(sorted(known))}"
            raise UserError(f"JOB={job}: there is no such job", hint)
        what = job if job and job != "all" else "no job"
        print(f"{what} is {'not ' if what == job else ''}at work" + (f" for run {run}" if run else ""), file=sys.stderr)
        return DONE
    run = _the_one(meant, run, job)
    patience = _grace(runs / run) + MORE_S
    began = told = time.monotonic()
    listen_until = began
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    series: set[tuple[Any, Any]] = set()  # processes whose jobs are parts of one
    while True:
        tasks = {(task["folder"], task["task"]): task for task in tasks_under(runs)}
        series |= {_process(task) for task in tasks.values() if is_at_work(task) and task["job"] in SERIES}
        for place, task in tasks.items():
            if is_at_work(task) and belongs(task, run, job):
                _leave_stop(Path(task["folder"]))  # again: who ends takes it away, and another may be at work there
                if place not in asked:
                    asked[place] = task
                    _say(task, f"told to stop (process {task['pid']} on {task['host']})")
        waiting = [place for place in asked if place in tasks and is_at_work(tasks[place])]
        now = time.monotonic()
        for place in [place for place in asked if place not in waiting]:
            task = tasks.get(place, asked[place])
            job_of_it = asked.pop(place)["job"]
            goes_on = job_of_it in SERIES or _process(task) not in series
            _tell_end(task, job_of_it if goes_on else "", now - began, runs)
            (Path(task["folder"]) / "STOP").unlink(missing_ok=True)
            if task["state"] == "done":
                listen_until = now + NEXT_S
        if not asked and now >= listen_until:
            return DONE
        if asked and now - began > patience:
            names = ", ".join(f"{label_of(task)} ({task['host']}, process {task['pid']})" for task in asked.values())
            raise UserError(
                f"{names}: no answer after {span(now - began)}; the STOP file stays",
                "look again with `make status`; on that host, `kill PROCESS` tells it as well",
            )
        if asked and now - told > TELL_S:
            told = now
            print(f"stop: waiting, {span(now - began)} of at most {span(patience)}", file=sys.stderr)
        time.sleep(LOOK_S)


def _leave_stop(folder: Path) -> None:
    try:
        (folder / "STOP").touch()
    except OSError as error:
        raise UserError(f"{folder / 'STOP'}: {error.strerror}", "whoever started that job can stop it") from None


def _the_one(meant: list[dict[str, Any]], run: str | None, job: str | None) -> str:
    """The run that is meant; UserError where several jobs could be."""
    if run:
        return run
    series = {_process(task) for task in meant if task["job"] in SERIES}  # what else such a one does is part of it
    meant = [task for task in meant if task["job"] in SERIES or _process(task) not in series]
    jobs = {(task["run"], None if job == "all" else task["job"]) for task in meant}
    if len(jobs) == 1:
        return str(meant[0]["run"])
    names = ", ".join(f"{label_of(task)} of run {task['run']}" for task in meant)
    raise UserError(f"several jobs are at work: {names}", "make stop JOB=... RUN=...; JOB=all: every job of that run")


def _process(task: dict[str, Any]) -> tuple[Any, Any]:
    return task.get("where"), task["pid"]


def _tell_end(task: dict[str, Any], job: str, seconds: float, runs: Path) -> None:
    """job: what goes on with it alone; "": nothing, it is a part of what has its own line."""
    if task["state"] == "stopped" and not job:
        _say(task, f"stopped after {span(seconds)}")
    elif task["state"] == "stopped":
        name = "infer INPUT=..." if label_of(task).endswith("-input") else job
        alone = f"make {name} RUN={task['run']}" + ("" if str(runs) == "runs" else f" RUNS={runs}")
        _say(task, f"stopped after {span(seconds)}; the command that began it goes on; this job alone: `{alone}`")
    elif task["state"] == "stale":
        _say(task, f"stale: {task['note']}")
    else:
        _say(task, f"{task['state']} before it heard")


def _grace(folder: Path) -> float:
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        return float(values["runtime"]["grace_s"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return 20.0


def _clock(task: dict[str, Any]) -> str:
    return time.strftime("%F %T", time.localtime(task["updated"]))


def _say(task: dict[str, Any], line: str) -> None:
    print(f"{label_of(task)} of run {task.get('run')}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
