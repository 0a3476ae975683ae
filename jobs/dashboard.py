"""A page on 127.0.0.1 that shows every job, its progress, CPU and GPU use and live curves, from the files of RUNS.

    make dashboard                      says where to look, also from a machine of yours
    make dashboard LISTEN=0.0.0.0       for others too: only with the token that it prints

It only reads, and it shows no environment and no config.
"""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.files import read_lines
from app.runtime.usage import Look
from app.scoring.dashboard import Job, View, curve_panels
from app.scoring.table import Table, as_table
from jobs.leaderboard import entries_under
from jobs.look_server import Server
from jobs.pack import guarded
from jobs.status import is_at_work, label_of, no_job, note_of, row_of, tasks_under

PORT, MORE_PORTS = 8765, 20
ENDED, BEST, TRAININGS = 12, 8, 3  # shown at most


def main() -> None:
    no_job()
    parser = argparse.ArgumentParser(prog="python -m jobs.dashboard", description=(__doc__ or "").splitlines()[0])
    env = os.environ.get
    parser.add_argument("--runs", default=env("RUNS") or "runs", help="where all that jobs make lies (RUNS)")
    parser.add_argument("--host", default=env("LISTEN") or "127.0.0.1", help="(LISTEN)")
    parser.add_argument("--port", default=env("PORT") or "", help="(PORT); default: the first that is free")
    parser.add_argument("--published", action="store_true", help="in a container whose port is one of 127.0.0.1")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    runs = Path(args.runs)
    look = Look(runs)
    server = _server(args.host, args.port, lambda: view_of(runs, look), runs)
    port = server.port
    key = f"?token={server.token}" if server.token else ""
    to_all = args.host in ("0.0.0.0", "::", "")
    here = "127.0.0.1" if args.published or to_all or args.host == "localhost" else args.host
    here = f"[{here}]" if ":" in here else here
    name = socket.gethostname() if to_all and not args.published else here
    print(f"dashboard of {args.runs}: http://{name}:{port}/{key}", file=sys.stderr)
    print(f"  from a machine of yours: ssh -N -L {port}:{here}:{port} SERVER, then http://127.0.0.1:{port}/{key}",
          file=sys.stderr)  # fmt: skip
    print("  Ctrl-C ends it; no job minds", file=sys.stderr, flush=True)
    server.serve()


def view_of(runs: Path, look: Look) -> View:
    """What is to be seen now; a file that is no longer as we write them spoils its own section alone."""
    trouble = dict[str, str]()

    def seen(section: str, part: Callable[[], Any]) -> Any:
        try:
            return part()
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            trouble[section] = f"{type(error).__name__}: {error}"
            return ()

    tasks = seen("jobs", lambda: tasks_under(runs))
    at_work = [task for task in tasks if is_at_work(task)]
    ended = [task for task in tasks if not is_at_work(task)]
    shown = at_work + ended[:ENDED]
    return View(
        seen("machine", look) or None,
        seen("jobs", lambda: [_job(task) for task in shown]),
        seen("curves", lambda: _curves(runs, at_work)),
        seen("best", lambda: _best(runs)),
        seen("best", lambda: _reports(runs)),
        trouble,
        max(0, len(ended) - ENDED),
    )


def _server(host: str, port: str, view: Any, runs: Path) -> Server:
    """On `port`; without one, on the first that is free."""
    if port and not (port.isdecimal() and int(port) < 65536):
        raise UserError(f"PORT={port} is no port", f"a number, for example PORT={PORT}")
    first = int(os.environ.get("DASHBOARD_PORT") or PORT)  # .env gives each user another one
    ports = [int(port)] if port else range(first, first + MORE_PORTS)
    for one in ports:
        try:
            return Server(host, one, view, runs)
        except OSError as error:
            problem = error
    raise UserError(f"{host}:{ports[0]}: {problem.strerror}", "choose another with PORT=... (and LISTEN=...)")


def _job(task: dict[str, Any]) -> Job:
    row = row_of(task, wide=True)
    share = task["done"] / task["total"] if task["total"] else None
    return Job(
        label_of(task), row["run"], row["state"], row["progress"], share, row["rate"], row["left"], row["took"],
        row["MB"], row["host"], note_of(task), is_at_work(task),
    )  # fmt: skip


def _curves(runs: Path, at_work: list[dict[str, Any]]) -> list[Any]:
    """Of the trainings at work, or else of those that ended last."""
    busy = {Path(task["folder"]) for task in at_work if task["job"] == "train"}
    paths = [path for path in runs.glob("*/models/*/metrics.jsonl") if not path.parent.is_symlink()]
    paths.sort(key=lambda path: (path.parent in busy, _changed(path)), reverse=True)
    drawn = (panels for path in paths if (panels := _drawn(path, _changed(path), path.parent in busy)))
    return [panel for panels in islice(drawn, TRAININGS) for panel in panels]


@lru_cache(64)
def _drawn(path: Path, changed: float, busy: bool) -> list[Any]:
    """None where there is nothing but the one step of a closed form."""
    try:
        epochs = list(read_lines(path))
    except (OSError, ValueError):
        return []  # it is being replaced: the next look sees it
    if len(epochs) < 2 and not busy:
        return []
    return curve_panels(path.parts[-4], path.parent.name, epochs)


def _best(runs: Path) -> list[Table]:
    """The best models, on each plan of validation clips."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in entries_under(runs, says=False):
        row = {key: entry[key] for key in ("run", "model", "score", "auc")}
        entries.setdefault(f"By score on {entry['clips']} validation clips of {entry['plan']}", []).append(row)
    tables = [as_table(title, rows[:BEST], "Lower is better; calibrated.") for title, rows in entries.items()]
    return [table for table in tables if table]


def _reports(runs: Path) -> list[tuple[str, str]]:
    """Each run's report, and the comparisons beside it."""
    found = []
    for path in sorted(runs.glob("*/report/index.html")):
        run = path.parent.parent.name
        found.append((run, f"/report/{run}"))
        for page in sorted(path.parent.glob("beside-*.html")):
            found.append((f"{run} {page.stem.replace('-', ' ', 1)}", f"/report/{run}/{page.name}"))
    return found


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


if __name__ == "__main__":
    sys.exit(guarded("dashboard", main))
