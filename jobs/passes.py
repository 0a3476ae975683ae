"""What a model that is fitted at once takes per clip: its passes over the probe's clips, until they fill a second."""

import statistics
from pathlib import Path

from app.config import Config
from app.config.ladder import LADDER
from app.runtime.seat import worked_s

LONG_S = 1.0  # of passes; one over the few clips of a probe lasts hundredths, which is mostly chance
LEAST = 5


def clip_seconds(extracted: Path, name: str, config: Config, threads: int) -> float:
    """Seconds per training clip once all is warm: the median pass; rests made for others are left out."""
    from app.compat import use_threads
    from app.features.store import STORES
    from app.learning.fit import passes_over
    from app.models.registry import build

    use_threads(threads)
    train, model = STORES[LADDER[name].reads](extracted, ("train",)), build(name, config)
    took: list[float] = []
    while len(took) < LEAST or sum(took) < LONG_S:
        began = worked_s()
        passes_over(model, train, config.train.batch_clips)
        took.append(worked_s() - began)
    return statistics.median(took) / len(train)
