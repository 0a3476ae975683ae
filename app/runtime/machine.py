"""What this machine lets us use, how gently we use it, and what we did use."""

import importlib.metadata
import os
from pathlib import Path

import psutil

# Before any numerical library starts: one math thread a process, parallelism is by processes
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def usable_cores() -> int:
    """Cores of our affinity mask, cut by the cgroup's CPU quota (v1 or v2); 1 at least."""
    return max(1, int(min([len(os.sched_getaffinity(0)), *_cgroup_limits()])))


def workers_for(asked: int) -> int:
    """`asked` processes, or half of the usable cores where 0 are asked for."""
    return asked or max(1, usable_cores() // 2)


def one_thread_each() -> None:
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"


def lower_priority(nice: int) -> None:
    """Raises our niceness to `nice`, asks for idle I/O, and offers us first to the OOM killer."""
    os.nice(max(0, nice - os.nice(0)))
    try:
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
        Path("/proc/self/oom_score_adj").write_text("500")
    except (OSError, psutil.Error):
        pass  # a courtesy that this kernel does not offer


def used_megabytes() -> float:
    """Proportional memory of this process and its children, shared pages counted once."""
    total = 0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, OSError):
            pass  # it has just ended
    return total / 1e6


def libraries() -> dict[str, str]:
    """Versions of what may change a low bit, as information."""
    found = {}
    for name in ("numpy", "scipy", "torch", "noisereduce", "soundfile", "soxr"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass  # the prep image does without torch
    return found


def _cgroup_limits() -> list[float]:
    """CPU quotas that bind us, in cores."""
    found = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:  # v2: every ancestor's limit binds
            folder = Path("/sys/fs/cgroup" + place)
            for part in (folder, *folder.parents):
                quota, _, period = _read(part / "cpu.max").partition(" ")
                if quota.isdigit():
                    found.append(int(quota) / int(period))
        elif "cpu" in controllers.split(","):
            folder = Path("/sys/fs/cgroup/cpu" + place)
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.strip().isdigit() and period.strip().isdigit():
                found.append(int(quota) / int(period))
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
