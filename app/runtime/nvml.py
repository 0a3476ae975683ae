"""What the GPUs of this machine are doing, read through NVML: CUDA itself would take memory on each GPU it looks at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psutil

from app.errors import Stopped

SAMPLES, SAMPLE_EVERY_S = 5, 0.5  # a GPU between two batches looks idle for a moment: look for two seconds
SOMEBODYS_GB = 1.0  # where utilisation cannot be read, more memory in use than this means that somebody computes


class GpuLost(Stopped):
    """A GPU is gone, with all that lay in its memory: the job goes on from its last save."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or one instance of a GPU in MIG mode."""

    uuid: str  # GPU-... or MIG-...: the one name that NVML, CUDA and all containers share; "" where it cannot be read
    index: int  # of the GPU, in PCI order as nvidia-smi counts
    name: str
    total_gb: float = 0.0  # 10^9 bytes
    free_gb: float = 0.0  # the least that was free while we looked
    busy: float = 0.0  # 0..1, mean while we looked; 1 where it cannot be read and somebody computes
    users: tuple[str, ...] = ()  # "kim (pid 4242, 30 GB)", as far as we may see them
    parent: str = ""  # of a MIG instance: the UUID of its GPU
    trouble: str = ""  # why it cannot be used at all

    def __str__(self) -> str:
        where = f" ({self.uuid[:12]})" if self.parent else ""
        return f"GPU {self.index} {self.name}{where}: {self.state()}"

    def state(self) -> str:
        if self.trouble:
            return self.trouble
        used = f", used by {', '.join(self.users)}" if self.users else ""
        return f"{gb(self.free_gb)} of {gb(self.total_gb)} GB free, {100 * self.busy:.0f} % busy{used}"


def read_gpus(nvml: Any, pause: Callable[[float], None], samples: int = SAMPLES) -> list[Gpu]:
    """Every GPU and MIG instance, looked at `samples` times; `pause` sleeps between, and may raise.

    Raises NVMLError where NVML as a whole has stopped answering.
    """
    seen: dict[tuple[int, str], list[Gpu]] = {}
    for sample in range(samples):
        if sample:
            pause(SAMPLE_EVERY_S)
        for gpu in _read_once(nvml):
            seen.setdefault((gpu.index, gpu.uuid), []).append(gpu)
    return [
        replace(looks[-1], free_gb=min(g.free_gb for g in looks), busy=sum(g.busy for g in looks) / len(looks))
        for looks in seen.values()
    ]


def lost(nvml: Any, gpu: Gpu) -> str:
    """Why a GPU that we had is gone, in NVML's words; "" while it is there."""
    gone = (
        nvml.NVML_ERROR_GPU_IS_LOST,  # fallen off the bus
        nvml.NVML_ERROR_RESET_REQUIRED,
        nvml.NVML_ERROR_NOT_FOUND,  # a MIG instance that was taken apart
        nvml.NVML_ERROR_GPU_NOT_FOUND,
        nvml.NVML_ERROR_OPERATING_SYSTEM,
        nvml.NVML_ERROR_UNKNOWN,  # also a container that has lost its devices (nvidia-container-toolkit issue 48)
    )
    try:
        nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByUUID(gpu.uuid))
    except nvml.NVMLError as error:
        return str(error) if error.value in gone else ""
    return ""


def gb(size: float) -> str:
    return f"{size:.1f}" if size < 10 else f"{size:.0f}"


def _read_once(nvml: Any) -> Iterator[Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError as error:
            yield Gpu("", index, "(unknown)", trouble=f"cannot be used: {error}")
            continue
        if not _in_mig_mode(nvml, handle):
            yield _look(nvml, handle, Gpu(uuid, index, name))
            continue
        for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                gpu = Gpu(nvml.nvmlDeviceGetUUID(part), index, nvml.nvmlDeviceGetName(part), parent=uuid)
            except nvml.NVMLError:
                continue  # a place without an instance
            yield _look(nvml, part, gpu)


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE)
    except nvml.NVMLError:
        return False  # a GPU, or a driver, without MIG


def _look(nvml: Any, handle: Any, gpu: Gpu) -> Gpu:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        return replace(gpu, trouble=f"its memory cannot be read: {error}")
    gpu = replace(gpu, total_gb=memory.total / 1e9, free_gb=memory.free / 1e9, users=_users(nvml, handle))
    try:
        return replace(gpu, busy=nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    except nvml.NVMLError:  # not supported on MIG instances and on some old GPUs
        somebodys = gpu.users or gpu.total_gb - gpu.free_gb > SOMEBODYS_GB
        return replace(gpu, busy=1.0 if somebodys else 0.0)


def _users(nvml: Any, handle: Any) -> tuple[str, ...]:
    # by their versioned names: the plain one raises something else where the driver is older than pynvml
    for read in (nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2):
        try:
            return tuple(_user(process.pid, process.usedGpuMemory) for process in read(handle))
        except nvml.NVMLError:
            continue
    return ()


def _user(pid: int, used_bytes: int | None) -> str:
    try:
        name = psutil.Process(pid).username()
    except (psutil.Error, OSError, ValueError):
        name = "somebody"  # in another container, as seen from this one
    return f"{name} (pid {pid}, {gb(used_bytes / 1e9)} GB)" if used_bytes else f"{name} (pid {pid})"
