"""Which GPU: the emptiest that fits and that no other job of ours holds; and the wait for one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config import RuntimeConfig
from app.errors import UserError
from app.runtime.cuda_visible import VISIBLE, visible_gpus
from app.runtime.gpu_lock import GpuLock, lock_gpu
from app.runtime.hours import Hours
from app.runtime.nvml import Gpu, GpuLost, gb, read_gpus

SAY_S = 600.0  # a waiting job says so again after this long
LEAVE_S = 0.2  # a waiting job hears STOP within this


@dataclass
class Search:
    """One job's look around, repeated until some GPU will do."""

    locks_folder: Path
    job: str
    settings: RuntimeConfig
    hours: Hours | None
    wait_state: Callable[[str, float], None]
    say: Callable[[str], None]
    leave: Callable[[], None]
    nvml: Any
    visible: str | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    poll_s: float
    taken: list[Gpu] = field(default_factory=list)
    locks: list[GpuLock] = field(default_factory=list)

    def run(self) -> None:
        """Fills `taken`, waiting where we may; leaves it empty where no GPU is visible to us at all."""
        since, said = self.clock(), -SAY_S
        waited = 0.0
        while True:
            self.leave()
            what, reasons = self._look()
            if not reasons:
                break
            if not self.settings.gpu_wait:
                lines = "".join(f"\n  {reason}" for reason in reasons)
                raise UserError(f"{what}{lines}", "GPU=wait waits for one, DEVICE=cpu computes without")
            why = f"{what} {'; '.join(reasons)}"
            self.wait_state(why, since)
            if waited - said >= SAY_S:
                self.say(f"waiting since {time.strftime('%F %T', time.localtime(since))}: {why}")
                said = waited
            self._pause(self.poll_s)
            waited += self.poll_s
        if waited:
            self.wait_state("", since)
        for gpu in self.taken:
            self.say(f"takes {gpu}")

    def release(self) -> None:
        for lock in self.locks:
            lock.release()

    def _look(self) -> tuple[str, list[str]]:
        """Takes GPUs, or tells what is wanted and why each GPU will not do; no reasons: all is well."""
        if self.hours and not self.hours.allow(self.clock()):
            return f"GPUs are used from {self.hours.begin} on:", [f"runtime.gpu_hours is {self.settings.gpu_hours}"]
        try:
            everyone = read_gpus(self.nvml, self._pause)
        except self.nvml.NVMLError as error:
            raise GpuLost(f"NVML does not answer any more: {error}") from None
        ours = visible_gpus(everyone, self.visible)
        if not ours:
            self.say(f"no GPU: {VISIBLE}={self.visible} hides all" if everyone else "no GPU")
            return "", []
        need, most = self.settings.gpu_free_gb, self.settings.gpu_busy
        if all(gpu.total_gb < need for gpu in ours if not gpu.trouble) and not all(gpu.trouble for gpu in ours):
            raise UserError(
                f"runtime.gpu_free_gb: no GPU here has {gb(need)} GB" + "".join(f"\n  {gpu}" for gpu in ours),
                "ask for less memory, or compute without a GPU by DEVICE=cpu",
            )
        fit = [gpu for gpu in ours if not gpu.trouble and gpu.free_gb >= need and gpu.busy <= most]
        reasons = [str(gpu) for gpu in ours if gpu not in fit] + self._take(fit)
        what = f"no GPU is free for us ({gb(need)} GB of memory, at most {100 * most:.0f} % busy):"
        return (what, []) if self.taken else (what, reasons)

    def _take(self, fit: list[Gpu]) -> list[str]:
        """Locks the emptiest of `fit`; returns who holds those that were locked already."""
        held = []
        for gpu in sorted(fit, key=lambda gpu: (-gpu.free_gb, gpu.busy, gpu.index)):
            if len(self.taken) >= self.settings.max_gpus:
                break
            if self.taken and (gpu.parent or self.taken[0].parent):
                continue  # CUDA shows a process one MIG instance and nothing beside it
            lock = lock_gpu(self.locks_folder, gpu.uuid, self.job, self.clock())
            if isinstance(lock, str):
                held.append(f"{str(gpu).partition(':')[0]}: {lock}")
                continue
            if not lock.holds:
                self.say(f"no locks work in {self.locks_folder}: another job of ours may take the same GPU")
            self.taken.append(gpu)
            self.locks.append(lock)
        return held

    def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self.leave()
            self.sleep(min(seconds, LEAVE_S))
            seconds -= LEAVE_S
