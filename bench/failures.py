"""What failing nodes cost: an array of 1,000 tasks, played through with our way to try again and with others.

    python -m bench.failures [--tasks 1000] [--shards 781] [--shard_s 2] ...      # all numbers: --help

Nodes die at random (their mean time between failures is told for one node), take the tasks on them along, are noticed
after a while and come back repaired. Tasks are cut by their time limit and preempted. Ways to try again:

    shards    ours: a shard that is done stays done, a told task ends the shards in hand, and is queued again
    task      a task that did not end begins anew
    no queue  a task that did not end stays undone until somebody hands it over again, which is done each morning

Lost is what was computed for nothing; again is what starting once more took; both of all the core time that was held.
No clock and no Slurm: the times that go in are measured elsewhere (docs/scaling.md), the random numbers have a seed.
"""

import argparse
import heapq
import json
import sys
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from jobs.terminal import table

WAYS = ("shards", "task", "no queue")
DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Site:
    """Seconds, but where it says otherwise."""

    tasks: int = 1000
    shards: int = 781  # of each task; of 128 clips: 100 million in all
    shard_s: float = 2.0  # on one core, on average
    spread: float = 0.3  # of a shard's time, as a share of it
    workers: int = 4  # cores of a task
    start_s: float = 15.0  # before a task's first shard: Python, libraries, reading the plan
    nodes: int = 10
    tasks_a_node: int = 4
    mtbf_h: float = 168.0  # of one node; 0: none dies
    noticed_s: float = 300.0  # SlurmdTimeout
    repair_s: float = 3600.0
    limit_s: float = 0.0  # of a task; 0: none
    warn_s: float = 120.0
    preempted_h: float = 0.0  # one task is preempted so often, on average; 0: never
    grace_s: float = 60.0
    requeue_s: float = 60.0  # until a task that was queued again may start
    requeues: int = 50
    seed: int = 0


@dataclass
class Outcome:
    """Core seconds, and when the last task ended."""

    useful: float = 0.0
    lost: float = 0.0
    again: float = 0.0
    begun: float = 0.0  # first starts
    ends: float = 0.0
    died: int = 0  # attempts that were cut
    given_up: int = 0

    @property
    def held(self) -> float:
        return self.useful + self.lost + self.again + self.begun

    @property
    def waste(self) -> float:
        """Of what was held, what failures took."""
        return (self.lost + self.again) / self.held


@dataclass
class _Task:
    left: list[float]  # times of shards that are not done
    attempts: int = 0
    node: int = -1
    began: float = 0.0
    number: int = 0  # of the attempt, so that an end that was overtaken is known


@dataclass
class _Queue:
    site: Site
    way: str
    waiting: deque[int] = field(default_factory=deque)
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    out: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        site, self._ids = self.site, count()
        self.rng = np.random.default_rng(site.seed)
        sigma = np.sqrt(np.log1p(site.spread**2))
        times = self.rng.lognormal(np.log(site.shard_s) - sigma**2 / 2, sigma, (site.tasks, site.shards))
        self.tasks = [_Task(list(row)) for row in times]
        self.free = [site.tasks_a_node] * site.nodes  # places; -1: the node is dead
        self.lives = [0] * site.nodes
        self.waiting.extend(range(site.tasks))
        self.undone = site.tasks
        for node in range(site.nodes if site.mtbf_h else 0):
            self._at(self.rng.exponential(site.mtbf_h * 3600), "dies", node)

    def run(self) -> Outcome:
        self._fill(0.0)
        while self.undone:
            when, _, what, one, number = heapq.heappop(self.events)
            if what == "cut" and self.tasks[one].number == number and self.tasks[one].node >= 0:
                self._told(when, one, self.site.grace_s)
            elif what == "limit" and self.tasks[one].number == number and self.tasks[one].node >= 0:
                self._told(when, one, self.site.warn_s)
            elif what == "end" and self.tasks[one].number == number and self.tasks[one].node >= 0:
                self._end(when, one)
            elif what == "free":
                if self.free[one] >= 0 and self.lives[one] == number:  # else it has died meanwhile
                    self.free[one] += 1
            elif what == "queued":
                self.waiting.append(one)
            elif what == "dies":
                self._dies(when, one)
            elif what == "back":
                self.free[one] = self.site.tasks_a_node
                self._at(when + self.rng.exponential(self.site.mtbf_h * 3600), "dies", one)
            self._fill(when)
        return self.out

    def _at(self, when: float, what: str, one: int, number: int = 0) -> None:
        heapq.heappush(self.events, (when, next(self._ids), what, one, number))

    def _fill(self, now: float) -> None:
        for node in range(self.site.nodes):
            while self.waiting and self.free[node] > 0:
                self._start(now, self.waiting.popleft(), node)

    def _start(self, now: float, one: int, node: int) -> None:
        task, site = self.tasks[one], self.site
        self.free[node] -= 1
        task.node, task.began, task.number, task.attempts = node, now, task.number + 1, task.attempts + 1
        self._at(max(self._ends(task), now + site.start_s), "end", one, task.number)
        if site.limit_s:
            self._at(now + site.limit_s - site.warn_s, "limit", one, task.number)
        if site.preempted_h:
            self._at(now + self.rng.exponential(site.preempted_h * 3600), "cut", one, task.number)

    def _plan(self, task: _Task) -> list[tuple[float, float]]:
        """(begin, end) of each shard that is left, were nothing to come between."""
        cores = [task.began + self.site.start_s] * self.site.workers
        spans = []
        for seconds in task.left:
            begin = heapq.heappop(cores)
            spans.append((begin, begin + seconds))
            heapq.heappush(cores, begin + seconds)
        return spans

    def _ends(self, task: _Task) -> float:
        return max((end for _, end in self._plan(task)), default=task.began)

    def _account(self, task: _Task, until: float, drain: float = 0.0) -> float:
        """Counts what the attempt did until then; drain: shards in hand may take so long to end. When it has left."""
        spans, left, leaves = self._plan(task), [], until
        done, torn = 0.0, 0.0
        for (begin, end), seconds in zip(spans, task.left, strict=True):
            if end <= until or (begin < until and drain and end <= until + drain):
                done, leaves = done + seconds, max(leaves, end)
            else:
                torn += max(0.0, (until + drain if begin < until else begin) - begin)
                leaves = max(leaves, until + drain) if begin < until else leaves
                left.append(seconds)
        keeps = self.way == "shards" or not left
        start = min(self.site.start_s, until - task.began) * self.site.workers
        self.out.lost += torn + (0.0 if keeps else done)
        self.out.useful += done if keeps else 0.0
        if task.attempts == 1:
            self.out.begun += start
        else:
            self.out.again += start
        if keeps:
            task.left = left
        return leaves

    def _told(self, now: float, one: int, drain: float) -> None:
        """Its time is up, or it makes room: ours ends the shards in hand, others are cut."""
        task = self.tasks[one]
        leaves = self._account(task, now, drain if self.way == "shards" else 0.0)
        self._at(leaves, "free", task.node, self.lives[task.node])
        self._again(leaves, one)

    def _dies(self, now: float, node: int) -> None:
        site, self.free[node] = self.site, -1
        self.lives[node] += 1
        noticed = now + site.noticed_s
        for one, task in enumerate(self.tasks):
            if task.node == node:
                self._account(task, now)
                self._again(noticed, one)
        self._at(now + max(site.repair_s, site.noticed_s), "back", node)

    def _again(self, now: float, one: int) -> None:
        task, site = self.tasks[one], self.site
        task.node = -1
        self.out.died += 1
        if task.attempts > site.requeues:
            self.out.given_up += 1
            self._over(now)
        elif self.way == "no queue":  # somebody sees it in the morning
            self._at(max(now, (now // DAY_S + 1) * DAY_S), "queued", one)
        else:
            self._at(now + site.requeue_s, "queued", one)

    def _end(self, now: float, one: int) -> None:
        task = self.tasks[one]
        self._account(task, now)
        self.free[task.node] += 1
        task.node = -1
        self._over(now)

    def _over(self, now: float) -> None:
        self.undone -= 1
        self.out.ends = max(self.out.ends, now)


def play(site: Site, way: str) -> Outcome:
    """The whole array to its end."""
    return _Queue(site, way).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.failures", description=(__doc__ or "").splitlines()[0])
    for name, value in vars(Site()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--mtbf", nargs="+", type=float, default=[0.0, 168.0, 24.0, 6.0, 1.0], metavar="HOURS")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/failures.json"))
    args = vars(parser.parse_args())
    path, hours = args.pop("json"), args.pop("mtbf")
    rows = []
    for mtbf in hours:
        for way in WAYS:
            site = Site(**{**args, "mtbf_h": mtbf})
            out = play(site, way)
            rows.append(
                {
                    "a node dies each": f"{mtbf:g} h" if mtbf else "never",
                    "tries again": way,
                    "attempts cut": out.died,
                    "lost": f"{out.lost / out.held:.2%}",
                    "again": f"{out.again / out.held:.2%}",
                    "core hours": round(out.held / 3600),
                    "ends after": f"{out.ends / 3600:.1f} h",
                    "given up": out.given_up,
                }
            )
    table(f"{args['tasks']} tasks of {args['shards']} shards of {args['shard_s']:g} s, on {args['nodes']} nodes", rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"site": args, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
