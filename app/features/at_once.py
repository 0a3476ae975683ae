"""How many clips go to the GPU at once: as configured, until its memory proves too small."""

from collections.abc import Callable

import torch

from app.compat import is_out_of_memory
from app.errors import NoRoom


def nobody(line: str) -> None:
    """Whom a line is told that nobody asked for."""


class AtOnce:
    """Starts at `clips` and is halved, for good, whenever the GPU has no room; `say` gets one line each time.

    `what` begins that line. Wrap what may fail as
        except RuntimeError as error:
            if not room.halve(error): raise
    and do it again with `room.clips`: what the failed attempt held is free once the except block is left.
    """

    def __init__(self, clips: int, what: str = "", say: Callable[[str], None] = nobody) -> None:
        self.clips, self._what, self._say = max(1, clips), what, say

    def halve(self, error: BaseException) -> bool:
        """Whether to try again with fewer clips; False where `error` is another one.

        Raises NoRoom when a single clip does not fit.
        """
        if not is_out_of_memory(error):
            return False
        if self.clips == 1:
            raise no_room("a single clip") from None
        before, self.clips = self.clips, self.clips // 2
        self._say(f"{self._what}the GPU's memory is full: from now on {self.clips} at once instead of {before} clips")
        return True


def clips_for(model: object, clips: int, device: torch.device) -> int:
    """How many of a batch go into `model` at once: on a CPU as few as a slow one says, so that a stop is soon heard."""
    return min(clips, getattr(model, "clips_at_once", clips)) if device.type == "cpu" else clips


def no_room(what: str) -> NoRoom:
    return NoRoom(
        f"the GPU has no memory left for {what}",
        "free its memory (`make doctor` shows who uses it), take another GPU, or compute with DEVICE=cpu",
    )
