"""What this machine's cores do, and for whom: us, or others.

Works with the rights of any user, and in a container: /proc/stat tells of the whole
machine, and of processes we need to see our own only.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import CLOCK_BOOTTIME, clock_gettime

from app.runtime.proc import read, read_or_nothing

TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc
ME = ""  # among the names of our jobs


@dataclass(frozen=True)
class Use:
    """Of cores, by a job: in core-seconds, or in cores."""

    ran: float = 0.0
    wanted: float = 0.0  # ran and waited for a core, all threads

    def __add__(self, more: "Use") -> "Use":
        return Use(self.ran + more.ran, self.wanted + more.wanted)

    def __mul__(self, factor: float) -> "Use":
        return Use(self.ran * factor, self.wanted * factor)


@dataclass(frozen=True)
class Load:
    """Between two looks, in core-seconds except for `seconds`."""

    seconds: float = 0.0
    busy: float = 0.0  # our cores at work for anybody; not what waits for a disk, nor what a hypervisor took
    runnable: float = 0.0  # threads on a core, waiting for one or (but for ours) for a disk, times seconds
    mine: Use = Use()  # by this job
    beside: Use = Use()  # by other jobs of ours that we can see

    def __add__(self, more: "Load") -> "Load":
        return Load(
            self.seconds + more.seconds,
            self.busy + more.busy,
            self.runnable + more.runnable,
            self.mine + more.mine,
            self.beside + more.beside,
        )

    def others(self, unseen: Use) -> float:
        """Cores that others use, or would use without us. unseen: cores of our jobs that we cannot see.

        Who shares cores with us gets a part of them only: two threads beside a worker of
        equal weight may run on one core, and look like 1. And who waits for a disk wants
        a core at once when it answers: two loops at nice 19 were seen to halve his work.
        So threads of theirs count that are ready to run or wait for a disk, up to twice
        what they used: a fair kernel takes no more than half from them, and a moment in
        which many stand ready is no load.
        """
        if not self.seconds:
            return 0.0
        ours = (self.mine + self.beside) * (1 / self.seconds) + unseen
        used = max(0.0, self.busy / self.seconds - ours.ran)
        wanted = self.runnable / self.seconds - max(ours.wanted, ours.ran)
        return max(used, min(wanted, 2 * used))


@dataclass
class Family:
    """What a job's processes have done until now."""

    processes: dict[int, tuple[float, float]] = field(default_factory=dict)  # core-seconds; when it began
    threads: dict[int, float] = field(default_factory=dict)  # seconds on a core or waiting for one
    at_disk: int = 0  # processes that wait for a disk just now


class LoadMeter:
    """Measures from look to look. Raises OSError where there is no /proc/stat."""

    def __init__(self, cpus: Iterable[int], pids: Iterable[int]) -> None:
        self._names = {b"cpu%d" % cpu for cpu in cpus}
        self._runnable: list[int] = []
        self._at, self._free = _now(), self._free_seconds()
        self._families = {ME: _family(pids)}

    def look(self, pids: Iterable[int], beside: Mapping[str, Iterable[int]]) -> Load:
        """What went on since the look before.

        pids: this job's processes. beside: those of our other jobs that we can see, by name.
        """
        at, free = _now(), self._free_seconds()
        seconds = max(at - self._at, 1e-6)
        busy = max(0.0, len(self._names) * seconds - max(0.0, free - self._free))
        families = {name: _family(family) for name, family in {**beside, ME: pids}.items()}
        at_disk = sum(family.at_disk for family in families.values())  # ours, which want nothing by that
        runnable = seconds * max(0.0, sum(self._runnable) / max(1, len(self._runnable)) - at_disk)
        uses = {name: _use(self._families.get(name, Family()), now, self._at) for name, now in families.items()}
        self._at, self._free, self._families = at, free, families
        self._runnable.clear()
        mine = uses.pop(ME)
        return Load(seconds, busy, runnable, mine, sum(uses.values(), Use()))

    def glance(self) -> None:
        """Counts the threads that are ready to run, or wait for a disk: cheap, and the oftener the truer."""
        self._free_seconds()

    def _free_seconds(self) -> float:
        """Idle, waiting for a disk or stolen, of all our cores since the machine was started."""
        ticks = 0
        for line in read("/proc/stat").split(b"\n"):
            name, *values = line.split(b" ", 9)
            if name in self._names:
                ticks += int(values[3]) + int(values[4]) + int(values[7])
            elif name == b"procs_running":
                self._runnable.append(int(values[0]) - 1)  # the one that looks
            elif name == b"procs_blocked" and self._runnable:
                self._runnable[-1] += int(values[0])
        return ticks / TICKS


def _family(pids: Iterable[int]) -> Family:
    family = Family()
    for pid in pids:
        # the name, in brackets, may hold anything
        values = read_or_nothing(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if values:
            family.at_disk += values[0] == b"D"
            family.processes[pid] = sum(map(int, values[11:15])) / TICKS, (int(values[19]) + 1) / TICKS
            family.threads.update(_threads(pid))
    return family


def _threads(pid: int) -> Iterator[tuple[int, float]]:
    try:
        names = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - several times a second: Path costs more
    except OSError:
        return  # it has just ended
    for name in names:
        values = read_or_nothing(f"/proc/{pid}/task/{name}/schedstat").split()
        if len(values) == 3:  # a kernel may lack it: then a thread wants what it uses
            yield int(name), (int(values[0]) + int(values[1])) / 1e9


def _use(before: Family, after: Family, since: float) -> Use:
    """Of a job's processes between two looks, the first of them at `since`.

    A child that has ended goes on in its parent's core-seconds; what was known of it is taken off.
    """
    ran = -sum(seconds for pid, (seconds, _) in before.processes.items() if pid not in after.processes)
    for pid, (seconds, began) in after.processes.items():
        if pid in before.processes:
            ran += seconds - before.processes[pid][0]
        elif began >= since:
            ran += seconds
        # else we did not know it yet, and its past is not of now
    wanted = sum(after.threads[name] - seconds for name, seconds in before.threads.items() if name in after.threads)
    return Use(max(0.0, ran), wanted)


def _now() -> float:
    return clock_gettime(CLOCK_BOOTTIME)  # as /proc counts
