"""GPUs of a server that others use too: the emptiest that fits is taken, waited for, and given back."""

import os
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml

from app.config import RuntimeConfig
from app.driver import in_a_container
from app.runtime.cuda_visible import VISIBLE
from app.runtime.gpu_search import Search
from app.runtime.hours import Hours, parse_hours
from app.runtime.nvml import Gpu, GpuLost, lost

POLL_S = 10.0  # between two looks while waiting
CHECK_S = 5.0  # between two questions to NVML whether our GPUs are still there


@dataclass
class TakenGpus:
    """GPUs that are ours for a while; `gpus` is empty where we compute without."""

    gpus: list[Gpu]
    hours: Hours | None = None
    nvml: Any = None
    clock: Callable[[], float] = time.time
    _checked: float = field(default=0.0, init=False)

    def hours_over(self) -> str:
        """Why it is time to stop politely (to save, and exit 75); "" while we may go on. Cheap: ask at every step."""
        if self.gpus and self.hours and not self.hours.allow(self.clock()):
            return f"GPU hours are over until {self.hours.begin}"
        return ""

    def check(self) -> None:
        """Raises GpuLost if one of our GPUs is gone. Cheap: NVML is asked each CHECK_S only."""
        if self.gpus and abs(self.clock() - self._checked) >= CHECK_S:
            self._checked = self.clock()
            for gpu in self.gpus:
                if why := lost(self.nvml, gpu):
                    hint = (
                        "; a `systemctl daemon-reload` on the host does this to containers" if in_a_container() else ""
                    )
                    raise GpuLost(f"GPU {gpu.index} {gpu.name} ({gpu.uuid}) is lost: {why}{hint}")


@contextmanager
def taken_gpus(
    runs: Path,
    job: str,
    settings: RuntimeConfig,
    *,
    wait_state: Callable[[str, float], None],
    say: Callable[[str], None],
    leave: Callable[[], None],
    nvml: Any = pynvml,
    environ: MutableMapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    poll_s: float = POLL_S,
) -> Iterator[TakenGpus]:
    """Up to settings.max_gpus GPUs, the emptiest first, named in CUDA_VISIBLE_DEVICES by UUID; given back afterwards.

    To be entered before CUDA starts in this process, and before its workers do. None where the job computes
    on the CPU, where there is no driver, and where CUDA_VISIBLE_DEVICES hides all.
    wait_state(why, since): called while we wait (why: one line; since: seconds since the epoch), and with
    why "" when that is over. say: one line, now and then. leave: raises Stopped when it is time to go.
    Raises UserError where no GPU will do, unless settings.gpu_wait.
    """
    hours = parse_hours(settings.gpu_hours)
    if settings.device == "cpu" or not _start(nvml):
        yield TakenGpus([])
        return
    before = environ.get(VISIBLE)
    locks = Path(environ.get("GPU_LOCKS") or runs / ".gpus")
    search = Search(locks, job, settings, hours, wait_state, say, leave, nvml, before, sleep, clock, poll_s)
    try:
        search.run()
        if search.taken:
            environ[VISIBLE] = ",".join(gpu.uuid for gpu in search.taken)
        yield TakenGpus(search.taken, hours, nvml, clock)
    finally:
        search.release()
        if before is None:
            environ.pop(VISIBLE, None)
        else:
            environ[VISIBLE] = before
        try:
            nvml.nvmlShutdown()
        except nvml.NVMLError:
            pass  # it went before us


def _start(nvml: Any) -> bool:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return False  # no driver, no GPU; where it is broken, torch's own answer is told (compat.device_for)
    return True
