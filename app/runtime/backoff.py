"""How many workers may work: the rules, without clocks or machines."""

import math
from collections import deque


def free_workers(cores: int, others: float, slack: float) -> int:
    """How many cores others leave: `slack` of theirs we do not mind. 0 or more."""
    return max(0, math.floor(cores - others + slack))


def my_share(free: int, jobs: list[tuple[float, str, int]], me: str) -> int:
    """My part of the free cores; jobs: (started, name, workers wanted) of all jobs of ours, me among them.

    One core after another is given round, the oldest job first, until all have what
    they want: equal parts, and where cores are few the oldest goes on.
    """
    given = dict.fromkeys((name for _, name, _ in jobs), 0)
    while free > 0:
        hungry = [name for _, name, wanted in sorted(jobs) if given[name] < wanted]
        if not hungry:
            break
        for name in hungry[:free]:
            given[name] += 1
        free -= min(free, len(hungry))
    return given[me]


class Backoff:
    """Shrinks at once; grows only to what was free all through the last `resume_s`."""

    def __init__(self, resume_s: float, allowed: int) -> None:
        self.resume_s, self.allowed = resume_s, allowed
        self._seen: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, share: int) -> int:
        """share: workers that there is room for now. Returns how many may work."""
        self._seen.append((now_s, share))
        # the last one before the span stays: what it saw was so when the span began
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self.resume_s:
            self._seen.popleft()
        if share < self.allowed:
            self.allowed = share
        elif self._seen[0][0] <= now_s - self.resume_s:
            self.allowed = max(self.allowed, min(share for _, share in self._seen))
        return self.allowed
