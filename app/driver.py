"""Whether there may be a GPU, asked without torch, whose import takes seconds and hundreds of MB in each process."""

import ctypes
from functools import lru_cache

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
        return seen_by_nvml()
    return True


def seen_by_nvml() -> bool:
    """Whether this host has a GPU, be its driver fit or not."""
    try:
        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError as error:
        # a driver that was updated under a running kernel has its GPUs all the same; else: no driver, no GPU
        return bool(error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
