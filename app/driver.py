"""Whether there may be a GPU, asked without torch, whose import takes seconds and hundreds of MB in each process."""

import ctypes
import os
from functools import lru_cache
from pathlib import Path

import pynvml


@lru_cache
def may_compute_on_gpu(asked: str) -> bool:
    """Whether torch has to be asked where to compute; False for DEVICE=cpu, and for auto where no driver is.

    asked: auto, cpu or cuda. True where CUDA's driver library is there or NVML counts a GPU: whether torch can use
    it, or why not, `compat.device_for` says.
    """
    if asked != "auto":
        return asked == "cuda"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return seen_on_host()
    return True


def seen_on_host(root: Path = Path("/")) -> bool:
    """Whether this host has a GPU, be its driver fit or not, and be it given to our container or not."""
    try:
        pynvml.nvmlInit()
        if pynvml.nvmlDeviceGetCount():
            return True
    except pynvml.NVMLError as error:
        # a driver that was updated under a running kernel has its GPUs all the same
        if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return True
    # a container that was given none sees the host's list; HOST_GPUS: what `make doctor` counted
    given = os.environ.get("HOST_GPUS", "")
    return (given.isdigit() and int(given) > 0) or any((root / "proc/driver/nvidia/gpus").glob("*"))


def in_a_container(root: Path = Path("/")) -> bool:
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv", ".singularity.d"))
