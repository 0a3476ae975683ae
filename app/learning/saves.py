"""When a checkpoint is due: by minutes, steps and epochs, and never so often that it costs much of the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.02  # of the time of training, at most


class Saves:
    """Told of what is done, says when to save. A stop and the end save in any case, and are not asked about here."""

    def __init__(self, minutes: float, steps: int, clock: Callable[[], float], share: float = SHARE) -> None:
        """steps: 0 for minutes alone. clock: seconds at work. share: of them, how much saves may take."""
        self._minutes, self._steps, self._clock, self._share = minutes, steps, clock, share
        self._began = self._last = clock()
        self._last_step = 0
        self.spent = 0.0  # seconds, in all saves
        self._cost = 0.0  # of the last one

    def due(self, step: int, epoch_ends: bool = False) -> bool:
        now = self._clock()
        wanted = (
            epoch_ends
            or now - self._last > 60 * self._minutes
            or (self._steps > 0 and step - self._last_step >= self._steps)
        )
        return wanted and self.spent + self._cost <= self._share * (now - self._began)

    @contextmanager
    def counted(self, step: int) -> Iterator[None]:
        """Around each save."""
        began = self._clock()
        yield
        self._last, self._last_step = self._clock(), step
        self.spent += self._last - began
        self._cost = self._last - began
