"""timing.jsonl: what a training took, rests left out. For information: no checkpoint and no result holds a time."""

import json
from pathlib import Path


class Timing:
    """Notes a line for each piece of work; what was done in vain, before a kill, is in no line or in two."""

    def __init__(self, folder: Path, clock: float) -> None:
        """clock: seconds at work, as app.runtime.seat.worked_s tells; so in `note`."""
        self._path, self._since = folder / "timing.jsonl", clock

    def note(self, epoch: int, step: int, clock: float) -> None:
        """epoch, step: how many are done. Seconds count from the line before."""
        line = json.dumps({"epoch": epoch, "step": step, "seconds": round(clock - self._since, 3)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._since = clock


def training_seconds(folder: Path) -> float:
    """Seconds that the training in `folder` took over all its pieces; 0 where nothing is noted."""
    try:
        lines = (folder / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0.0
    return sum(_seconds(line) for line in lines)


def _seconds(line: str) -> float:
    try:
        return float(json.loads(line)["seconds"])
    except (ValueError, KeyError, TypeError):
        return 0.0  # torn by a kill
