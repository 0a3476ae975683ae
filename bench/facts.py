"""What a reader of the figures must know of the machine."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any


def about_this_machine(folder: Path) -> dict[str, Any]:
    """folder: on the disk that is measured."""
    return {
        "date": time.strftime("%F"),
        "cpu": _line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "usable": sorted(os.sched_getaffinity(0)),
        "threads_of_one_core": _read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list"),
        "virtual": " hypervisor" in _read("/proc/cpuinfo"),
        "kernel": platform.release(),
        "autogroup": _read("/proc/sys/kernel/sched_autogroup_enabled"),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "file_system": _file_system(folder),
        "python": platform.python_version(),
    }


def _file_system(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _line(path: str, key: str) -> str:
    return next((line.partition(":")[2].strip() for line in _read(path).splitlines() if line.startswith(key)), "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
