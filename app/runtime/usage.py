"""What this machine is doing now: cores, memory, disk, GPUs. For looking at; nothing is decided by it."""

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pynvml

from app.runtime.nvml import Gpu, read_gpus
from app.runtime.room import free_bytes


class Usage(NamedTuple):
    host: str
    busy_cores: float  # mean since the last look, of all on this machine
    cores: int
    used_gb: float  # of memory, 10^9 bytes; what the system could give back at once does not count
    memory_gb: float
    free_disk_gb: float  # where RUNS lies
    gpus: tuple[Gpu, ...] = ()


class Look:
    """Looks again and again; the first look at the cores has nothing to compare with and says 0."""

    def __init__(self, runs: Path, nvml: Any = pynvml) -> None:
        self._runs, self._nvml = runs, nvml
        psutil.cpu_percent()

    def __call__(self) -> Usage:
        memory, cores = psutil.virtual_memory(), os.cpu_count() or 1
        return Usage(
            host=socket.gethostname(),
            busy_cores=psutil.cpu_percent() / 100 * cores,
            cores=cores,
            used_gb=(memory.total - memory.available) / 1e9,
            memory_gb=memory.total / 1e9,
            free_disk_gb=free_bytes(self._runs) / 1e9,
            gpus=self._gpus(),
        )

    def _gpus(self) -> tuple[Gpu, ...]:
        """None where there is no driver, or where it does not answer; begun anew each time, for it may come back."""
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError:
            return ()
        try:
            return tuple(read_gpus(self._nvml, lambda _: None, samples=1))
        except self._nvml.NVMLError:
            return ()
        finally:
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:
                pass
