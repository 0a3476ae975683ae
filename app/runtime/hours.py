"""Hours of the day in which we may use GPUs: "20:00-08:00" by the local clock."""

import re
from dataclasses import dataclass
from datetime import datetime

from app.errors import UserError

_CLOCK = r"([01]?\d|2[0-3]):([0-5]\d)"


@dataclass(frozen=True)
class Hours:
    """From `start` to `end`, in minutes after midnight; `start` > `end` wraps midnight. `end` itself is outside."""

    start: int
    end: int

    def allow(self, seconds: float) -> bool:
        """seconds: since the epoch."""
        now = datetime.fromtimestamp(seconds)
        minute = 60 * now.hour + now.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    @property
    def begin(self) -> str:
        return f"{self.start // 60:02d}:{self.start % 60:02d}"


def parse_hours(text: str | None) -> Hours | None:
    """None: always. Raises UserError for anything but HH:MM-HH:MM with two different times; 24:00 is midnight."""
    if text is None:
        return None
    found = re.fullmatch(rf"\s*{_CLOCK}\s*-\s*{_CLOCK}\s*", text.replace("24:00", "00:00"))
    if found:
        hour, minute, end_hour, end_minute = map(int, found.groups())
        hours = Hours(60 * hour + minute, 60 * end_hour + end_minute)
        if hours.start != hours.end:
            return hours
    raise UserError(
        f"runtime.gpu_hours: '{text}' is no span of hours",
        'write it as "20:00-08:00" (local time), or null where GPUs may be used always',
    )
