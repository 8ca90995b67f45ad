"""When a pull may ask the archive: within hours, and so many studies a minute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from core.errors import ConfigurationError

_WINDOW = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of each day, local time, over midnight where ``opens`` is the later one."""

    opens: time
    closes: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """``22:00-06:00``. Raises ConfigurationError."""
        match = _WINDOW.fullmatch(text)
        opens, closes = match.groups() if match else ("", "")
        if opens == closes:
            raise ConfigurationError(f"a window is written HH:MM-HH:MM, such as 22:00-06:00, got {text!r}")
        return cls(time.fromisoformat(opens), time.fromisoformat(closes))

    def opens_next(self, at: datetime) -> datetime | None:
        """None where it is open. ``at`` is local time, and so is the answer."""
        clock = at.time()
        if self.opens < self.closes:
            is_open = self.opens <= clock < self.closes
        else:
            is_open = clock >= self.opens or clock < self.closes
        if is_open:
            return None
        opening = at.replace(hour=self.opens.hour, minute=self.opens.minute, second=0, microsecond=0)
        return opening if opening > at else opening + timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"


def pause_before_next(last_began: float | None, now: float, per_minute: float | None) -> float:
    """Seconds; ``last_began`` and ``now`` are of the same clock, and studies are spread evenly over the minute."""
    if per_minute is None or last_began is None:
        return 0.0
    return max(0.0, last_began + 60 / per_minute - now)
