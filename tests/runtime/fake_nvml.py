"""Stands in for NVML (the module pynvml) on a GPU server with many users, which is not here.

It has the functions and constants of pynvml that we use, raises pynvml's own errors, and
plays a script: at given seconds, GPUs fill, empty, get busy or are lost. Its clock moves
only while somebody sleeps.
"""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml

NIGHT = 1_800_000_000.0  # any moment; where the hour counts, a test sets its own


@dataclass
class FakeGpu:
    uuid: str
    total_gb: float = 40.0
    free_gb: float = 39.0
    busy: float | None = 0.0  # percent; None: not supported, as on MIG instances
    name: str = "NVIDIA A100"
    users: list[tuple[int, float | None]] = field(default_factory=list)  # pid, GB
    instances: list["FakeGpu | None"] | None = None  # of a GPU in MIG mode; None: a place without an instance
    mig: bool | None = False  # None: a GPU that knows no MIG
    error: int = 0  # what every question about it is answered with


class FakeNvml:
    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: FakeGpu, no_driver: int = 0, now: float = NIGHT) -> None:
        self.gpus = list(gpus)
        self.no_driver = no_driver
        self.now = now
        self.slept = 0.0
        self.started = 0
        self.asked = 0  # how often memory was read
        self.script: list[tuple[float, FakeGpu, dict[str, object]]] = []
        self._one = threading.Lock()

    def __getattr__(self, name: str) -> int:
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def at(self, seconds: float, gpu: FakeGpu, **changes: object) -> None:
        """After so many seconds of sleep, `gpu` is like this."""
        self.script.append((seconds, gpu, changes))

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        for when, gpu, changes in self.script:
            if self.slept >= when:
                for name, value in changes.items():
                    setattr(gpu, name, value)
        self.script = [step for step in self.script if self.slept < step[0]]

    def nvmlInit(self) -> None:
        if self.no_driver:
            raise pynvml.NVMLError(self.no_driver)
        self.started += 1

    def nvmlShutdown(self) -> None:
        if not self.started:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        self.started -= 1

    def nvmlDeviceGetCount(self) -> int:
        if not self.started:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self._answer(self.gpus[index])

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        parts = [part for gpu in self.gpus for part in gpu.instances or [] if part]
        for gpu in self.gpus + parts:
            if gpu.uuid == uuid:
                return self._answer(gpu)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return self._answer(handle).uuid

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return self._answer(handle).name

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu, version: int | None = None) -> SimpleNamespace:
        self.asked += 1
        gpu = self._answer(handle)
        total, free = round(gpu.total_gb * 1e9), round(gpu.free_gb * 1e9)
        return SimpleNamespace(total=total, free=free, used=total - free)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> SimpleNamespace:
        if self._answer(handle).busy is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=handle.busy, memory=0)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: FakeGpu) -> list[SimpleNamespace]:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)  # an older driver than pynvml's

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle: FakeGpu) -> list[SimpleNamespace]:
        users = self._answer(handle).users
        return [SimpleNamespace(pid=pid, usedGpuMemory=None if gb is None else round(gb * 1e9)) for pid, gb in users]

    def nvmlDeviceGetMigMode(self, device: FakeGpu) -> list[int]:
        if self._answer(device).mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(device.instances is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: FakeGpu) -> int:
        return len(self._answer(device).instances or [])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeGpu, index: int) -> FakeGpu:
        part = (self._answer(device).instances or [])[index]
        if part is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return part

    def _answer(self, gpu: FakeGpu) -> FakeGpu:
        if gpu.error:
            raise pynvml.NVMLError(gpu.error)
        return gpu
