"""What this machine lets us use, how gently we use it, and what we did use."""

import ctypes
import importlib.metadata
import os
import sys
from pathlib import Path

import psutil

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT = 32 << 20  # bytes; the most that glibc takes for both
# Before any numerical library starts: one math thread a process, parallelism is by processes
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def usable_cores() -> int:
    """Cores of our affinity mask, cut by the cgroup's CPU quota (v1 or v2); 1 at least."""
    return max(1, int(min([len(os.sched_getaffinity(0)), *_cgroup_limits()])))


def workers_for(asked: int) -> int:
    """`asked` processes, or half of the usable cores where 0 are asked for."""
    return asked or max(1, usable_cores() // 2)


def usable_memory() -> int:
    """Bytes of the machine, cut by the cgroup's memory limit (v1 or v2)."""
    return int(min([psutil.virtual_memory().total, *_cgroup_memory()]))


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine had no memory for us; torch says it in words of its own."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate" in str(error)


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


def used_megabytes() -> list[float]:
    """Proportional memory of this process, then of each that it started; shared pages are counted once in the sum."""
    me = psutil.Process()
    try:
        children = me.children(recursive=True)
    except psutil.Error:  # a /proc that hides the processes of others
        children = []
    found = []
    for process in (me, *children):
        try:
            found.append(process.memory_full_info().pss / 1e6)
        except (psutil.Error, OSError):
            found.append(0.0)  # it has just ended
    return found


def gpu_megabytes() -> float:
    """The most that torch has held on a GPU in this process; 0 where it has not used one. Without CUDA's own part."""
    torch = sys.modules.get("torch")  # looking must not load it
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return 0.0
    return float(torch.cuda.max_memory_reserved() / 1e6)


def libraries() -> dict[str, str]:
    """Versions of what may change a low bit, as information."""
    found = {}
    for name in ("numpy", "scipy", "torch", "numba", "soundfile", "soxr"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass  # the prep image does without torch
    return found


def _cgroup_limits() -> list[float]:
    """CPU quotas that bind us, in cores."""
    found = []
    for folder in _cgroup_folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")  # v2
        if not period:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.strip().isdigit() and period.strip().isdigit():
            found.append(int(quota) / int(period))
    return found


def _cgroup_memory() -> list[float]:
    """Memory limits that bind us, in bytes."""
    texts = [
        _read(folder / name).strip()
        for folder in _cgroup_folders("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return [float(text) for text in texts if text.isdigit()]


def _cgroup_folders(controller: str) -> list[Path]:
    """Folders whose limits bind us, in v1 and v2: our cgroup's, and its ancestors'."""
    found: list[Path] = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root = Path("/sys/fs/cgroup") / (controller if controllers else "")
            folder = root / place.lstrip("/")
            # within a container our cgroup's own files lie at the root, whatever its place is called outside
            found += dict.fromkeys([folder, *(up for up in folder.parents if up.is_relative_to(root)), root])
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def keep_freed_memory() -> None:
    """What this process frees it keeps for its next clip, until `give_memory_back`: else each array of megabytes is
    given back to the system and asked for anew, page by page.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc alone
    if option:
        option(M_MMAP_THRESHOLD, KEPT)
        option(M_TRIM_THRESHOLD, KEPT)


def give_memory_back() -> None:
    """Returns to the system what this process has freed: the C library keeps it, in more and more pieces."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim:
        trim(0)
