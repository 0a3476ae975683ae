"""BUDGET: how long this very command may work."""

import math
import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Seconds of this very command; None: as many as it takes."""

    all_s: float | None
    began: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        return math.inf if self.all_s is None else self.all_s - (time.monotonic() - self.began)
