"""What Slurm says of the jobs that were handed to it for a run, and how they are taken back."""

import getpass
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from app.runtime.files import read_lines
from app.runtime.tell import tell

SUBMITTED = "submitted.jsonl"  # in RUNS/RUN/slurm: what was handed over
ASK_S = 20.0


class Queued(NamedTuple):
    """A line of squeue."""

    id: str  # 12, or 12_3 of an array
    run: str
    name: str  # extract, extract-join
    state: str  # PENDING, RUNNING, ...
    ran: str
    limit: str
    why: str  # or the nodes


def queued(runs: Path, run: str | None = None) -> list[Queued]:
    """Of every run, or of one; [] where there is no Slurm, and, said so, where it does not answer."""
    known = {
        str(row["id"]): (path.parents[1].name, row["name"])
        for path in runs.glob(f"{run or '*'}/slurm/{SUBMITTED}")
        for row in read_lines(path)
    }
    if not known or not shutil.which("squeue"):
        return []
    words = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%F|%T|%M|%l|%R"]
    found = []
    for line in _said(words).splitlines():
        id, job, state, ran, limit, why = line.split("|", 5)
        if job in known:
            found.append(Queued(id, *known[job], state, ran, limit, why))
    return found


def take_back(jobs: list[Queued]) -> None:
    """Those that wait are cancelled."""
    waiting = [one.id for one in jobs if one.state == "PENDING"]
    if waiting:
        _said(["scancel", *waiting])


def _said(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=ASK_S)
        trouble = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    if not trouble:
        return done.stdout
    tell(f"{words[0]}: {trouble}\n  fix: Slurm's queue is as it was and not known here; try again when it answers")
    return ""
