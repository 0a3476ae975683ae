"""Shows every job of every run: state, progress, rate, time left, memory, host. WATCH=1 goes on, JSON=1 is for scripts.

RUN, CONFIG and JOB, where they are given, choose.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.errors import ACT
from app.runtime.queue import Queued, queued
from app.runtime.series import SERIES
from app.runtime.status import ALIVE, read_status
from app.runtime.stop import STOP_SIGNALS
from app.runtime.tell import span

EVERY_S = 2.0
COLOURS = {"failed": "red", "stale": "red", "done": "green", "stopped": "yellow"}


def main() -> int:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.status", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--run", default=asked_run(), help="of this run only (RUN)")
    parser.add_argument("--job", default=env("JOB") or None, help="of this job only (JOB)")
    parser.add_argument("--watch", action="store_true", default=env("WATCH", "0") not in ("", "0"), help="WATCH=1")
    parser.add_argument("--json", action="store_true", default=env("JSON", "0") not in ("", "0"), help="JSON=1")
    args = parser.parse_args()

    if args.run and not args.json and not (Path(args.runs) / args.run).is_dir():
        there = sorted(path.parent.name for path in Path(args.runs).glob("*/config.yaml"))
        print(f"status: {args.runs} has no run {args.run}\n  fix: RUN=...; there are: {', '.join(there) or 'none'}",
              file=sys.stderr)  # fmt: skip
        return ACT

    def look() -> list[dict[str, Any]]:
        return [task for task in tasks_under(Path(args.runs)) if belongs(task, args.run, args.job)]

    def seen() -> Group | Text:
        return Group(picture(look(), console.width), *queue_picture(queued(Path(args.runs), args.run)))

    if args.json:
        print(json.dumps(look(), indent=1, ensure_ascii=False))
        return 0
    # a pipe has no width: wide enough that no cell is folded
    console = Console(file=sys.stderr, width=None if sys.stderr.isatty() else 200)
    if not args.watch:
        console.print(seen())
        return 0
    try:
        with Live(seen(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(EVERY_S)
                live.update(seen(), refresh=True)
                if not console.is_terminal:
                    console.print(live.renderable)
    except KeyboardInterrupt:
        return 0


def tasks_under(runs: Path) -> list[dict[str, Any]]:
    """The status of every task of every stage, model, report and series, with its `folder`; at work stand first."""
    folders = {path.parent.parent for path in runs.glob("stages/*/status/*.json")}
    # models/NAME is a link to models/NAME-FINGERPRINT
    folders |= {p.parent.parent for p in runs.glob("*/models/*/status/*.json") if not p.parent.parent.is_symlink()}
    folders |= {path.parent.parent for name in ("report", *SERIES) for path in runs.glob(f"*/{name}/status/*.json")}
    found = [{**status, "folder": str(folder)} for folder in folders for status in read_status(folder)]
    at_work = sorted((s for s in found if is_at_work(s)), key=lambda status: status["started"])
    ended = sorted((s for s in found if not is_at_work(s)), key=lambda status: status["updated"], reverse=True)
    return at_work + ended


def no_job() -> None:
    """This process only looks: signals end it as they end any, and not as politely as `python -m jobs.JOB`."""
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def is_at_work(task: dict[str, Any]) -> bool:
    """Running, waiting or yielding; neither ended nor stale."""
    return task["state"] in ALIVE


def belongs(task: dict[str, Any], run: str | None, job: str | None) -> bool:
    """Whether `task` is of `run` and of `job`; None or "all" is any. JOB may be a task's label too (extract-test)."""
    names = {task["job"], label_of(task)}
    if label_of(task) in ("extract-input", "waves-input"):  # infer INPUT=... extracts first
        names.add("infer")
    return run in (None, task.get("run")) and (job in (None, "all") or job in names)


def label_of(task: dict[str, Any]) -> str:
    return str(task.get("label") or task["job"])


def asked_run() -> str | None:
    """The run that RUN or CONFIG names; None: neither is given."""
    config = os.environ.get("CONFIG")
    return os.environ.get("RUN") or (Path(config).stem if config else None)


def picture(tasks: list[dict[str, Any]], width: int) -> Group | Text:
    """The table for a terminal of `width` columns, 80 at least for usual names; below it what is to be said."""
    if not tasks:
        return Text("no job has run yet; `make demo` runs all of them")
    wide = width >= 110
    tight: dict[str, Any] = {} if wide else {"box": box.SIMPLE, "padding": (0, 1, 0, 0), "pad_edge": False}
    grid = Table(title="Jobs", title_justify="left", title_style="bold", header_style="bold", **tight)
    rows = [row_of(task, wide) for task in tasks]
    for key in rows[0]:
        number = key in ("rate", "left", "took", "MB")
        grid.add_column(key, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for task, row in zip(tasks, rows, strict=True):
        state = Text(row.pop("state"), style=COLOURS.get(task["state"], "bold"))
        grid.add_row(*(row[key] for key in ("job", "run")), state, *list(row.values())[2:])
    notes = [Text(f"{label_of(task)} ({task.get('run')}): {note}") for task in tasks if (note := note_of(task))]
    return Group(grid, *notes)


def queue_picture(jobs: list[Queued]) -> list[Table]:
    """What Slurm says; nothing where it has nothing of ours."""
    if not jobs:
        return []
    grid = Table(title="Slurm's queue", title_justify="left", title_style="bold", header_style="bold")
    for name in ("id", "job", "run", "state", "ran", "limit", "nodes, or why it waits"):
        grid.add_column(name, overflow="fold")
    for one in jobs:
        grid.add_row(one.id, one.name, one.run, one.state.lower(), one.ran, one.limit, one.why)
    return [grid]


def row_of(task: dict[str, Any], wide: bool) -> dict[str, str]:
    eta, at_work = task.get("eta_s"), is_at_work(task)
    unit = task.get("unit", "shards")
    of_what = "clips" if unit == "shards" else unit
    rate = f"{task['rate']:.{0 if task['rate'] >= 100 else 2}f}" + (f" {of_what}/s" if wide else "/s")
    return {
        "job": label_of(task),
        "run": str(task.get("run", "–")),
        "state": task["state"],
        "progress": f"{task['done']}/{task['total']} {unit}" if task["total"] else "–",
        "rate": rate if task["rate"] else "–",
        "left": span(eta) if at_work and eta is not None else "–",
        "took": span(task["seconds"]),
        "MB": f"{task.get('used_mb', task['peak_mb']) if at_work else task['peak_mb']:.0f}",
        "host": task["host"],
        "since": _clock(task.get("since") or (task["started"] if at_work else task["updated"]), wide),
    }


def note_of(task: dict[str, Any]) -> str:
    """Why it failed or stopped, or what it waits for, and how many clips could not be used."""
    failed = f"{task['failed']} of {task['clips']} clips failed" if task["failed"] else ""
    return "; ".join(part for part in (task.get("note", ""), failed) if part)


def _clock(when: float, wide: bool) -> str:
    then = time.localtime(when)
    if wide:
        return time.strftime("%F %T", then)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M" if today else "%d %b", then)


if __name__ == "__main__":
    sys.exit(main())
