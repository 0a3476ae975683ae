"""How much do our jobs slow a neighbour down? What `make bench-polite` runs.

    python -m bench.polite [--seconds 10] [--rounds 3] [--json FILE] [--set runtime.KEY=VALUE]

A neighbour with measured work a second comes alone, and to a machine where our job is at work
already; his work from the first moment on counts. Rounds alternate; medians are compared.
--set runtime.yield_to_others=false shows what the back-off brings.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from app.errors import ACT, UserError
from app.runtime.load import LoadMeter, Use
from bench.actors import neighbour, neighbours, our_job
from bench.cgroups import two_groups
from bench.facts import about_this_machine
from bench.neighbour import ARRIVAL_S
from bench.table import Outcome, print_table

NO_GROUPS = (None, None)


def main() -> int:
    args = _arguments()
    folder = Path(tempfile.mkdtemp(prefix=".bench-polite-", dir=args.folder))
    cpus = sorted(os.sched_getaffinity(0))
    facts = about_this_machine(folder)
    load = _load_of_others()
    print(json.dumps(facts, indent=1))
    if load > 0.1:
        print(f"this machine is not quiet: others use {load:.2f} cores, and the figures mean little")
    try:
        floor = _floor(cpus[:2])
        with two_groups() as groups:
            bench = Bench(folder, args.seconds, args.rounds, args.set, groups or NO_GROUPS)
            outcomes = [bench.all_cores(cpus)]
            if len(cpus) > 1:
                outcomes.append(bench.one_core(cpus[:2]))
            outcomes.append(bench.disk(cpus))
            grouped = groups is not None
    except UserError as error:
        print(f"bench-polite: {error}", file=sys.stderr)
        return ACT
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    notes = [
        f"two busy loops pinned to two cores slow each other by {floor:.1%} without us: the floor of this machine",
        f"load of others before the start: {load:.2f} cores",
        "cgroup: both in groups of their own, of equal weight" if grouped else "no cgroup can be made here",
    ]
    met = print_table([row for outcome in outcomes for row in outcome.rows()], notes)
    if args.json:
        measured = {outcome.name: outcome.rounds for outcome in outcomes}
        found = {"machine": facts, "seconds": args.seconds, "rounds": args.rounds, "set": args.set, "floor": floor}
        rows = [row.__dict__ for outcome in outcomes for row in outcome.rows()]
        args.json.write_text(json.dumps({**found, "load": load, "rows": rows, "measured": measured}, indent=1) + "\n")
    return 0 if met else 1


class Bench:
    """The three scenes; each gives the rounds of every way in which the neighbour came."""

    def __init__(
        self, folder: Path, seconds: float, rounds: int, settings: Sequence[str], groups: Sequence[Path | None]
    ) -> None:
        self.folder, self.seconds, self.rounds, self.settings = folder, seconds, rounds, settings
        self.ours, self.theirs = groups

    def all_cores(self, cpus: list[int]) -> Outcome:
        return self._scene("all cores", "cpu", str(len(cpus)), cpus, self._ways(), slower=0.05)

    def one_core(self, cpus: list[int]) -> Outcome:
        return self._scene("one core of two", "cpu", "1", cpus, [*self._ways(), "ours alone"], slower=0.10, keeps=0.60)

    def disk(self, cpus: list[int]) -> Outcome:
        return self._scene("writes to disk", "disk", str(self.folder), cpus, ["alone", "session"], slower=0.10)

    def _ways(self) -> list[str]:
        return ["alone", "session", "cgroup"] if self.ours else ["alone", "session"]

    def _scene(self, name: str, kind: str, what: str, cpus: list[int], ways: list[str], **targets: float) -> Outcome:
        rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for number in range(self.rounds):
            for way in ways if number % 2 == 0 else reversed(ways):  # so that a drift meets all alike
                print(f"{name}, round {number + 1} of {self.rounds}: {way}", file=sys.stderr, flush=True)
                rounds[way].append(self._round(way, kind, what, cpus))
        return Outcome(name, rounds, **targets)

    def _round(self, way: str, kind: str, what: str, cpus: list[int]) -> dict[str, float]:
        if way == "alone":
            return neighbour(kind, what, self.seconds, cpus, None)
        ours, theirs = (self.ours, self.theirs) if way == "cgroup" else NO_GROUPS
        workers = 1 if way == "ours alone" else len(cpus)
        with our_job(self.folder, workers, cpus, ours, self.settings) as clips:
            if way != "ours alone":
                return neighbour(kind, what, self.seconds, cpus, theirs, clips)
            before = clips()
            time.sleep(self.seconds)
            return {"ours": (clips() - before) / self.seconds}


def _floor(cpus: list[int]) -> float:
    """How much two independent loops on two cores slow each other, without us."""
    seconds, alone, both = ARRIVAL_S + 1, [], []
    for _ in range(2):
        alone.append(neighbour("cpu", "1", seconds, cpus[:1], None)["rate"])
        both += [found["rate"] for found in neighbours("cpu", "1", seconds, [[cpu] for cpu in cpus])]
    return 1 - median(both) / median(alone)


def _load_of_others() -> float:
    meter = LoadMeter(os.sched_getaffinity(0), [os.getpid()])
    for _ in range(20):
        time.sleep(0.1)
        meter.glance()
    return meter.look([os.getpid()], {}).others(Use())


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench.polite", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="a neighbour works (more than 4)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where all figures go")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="on the disk to be measured")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a config key of our job")
    args = parser.parse_args()
    if args.seconds < ARRIVAL_S + 1:
        parser.error(f"--seconds {args.seconds:g}: at least {ARRIVAL_S + 1:g}")
    args.folder.mkdir(parents=True, exist_ok=True)
    args.folder = args.folder.resolve()
    return args


if __name__ == "__main__":
    sys.exit(main())
