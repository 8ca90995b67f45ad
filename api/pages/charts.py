"""Charts as numbers: what the templates draw as SVG, in units of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, log10

from api.today import HourFigures
from core.records import Outcome

STACK = (Outcome.POSITIVE, Outcome.NEGATIVE, Outcome.NOT_ANALYSED, Outcome.FAILED)
WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    begins: datetime
    received: int
    x: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each hour of the day, stacked; the plot is ``width`` x ``height``."""

    width: float
    height: float
    bar_width: float
    top: int
    """What the full height stands for, a round number."""
    bars: tuple[Bar, ...]


def bars_of_day(since: datetime, hours: Sequence[HourFigures], *, width: float = 720, height: float = 120) -> Bars:
    ends = (since.astimezone().replace(tzinfo=None) + timedelta(days=1)).astimezone()
    hours_of_day = round((ends - since).total_seconds() / 3600)
    by_number = {round((hour.begins - since).total_seconds() / 3600): hour for hour in hours}
    top = round_top(max((hour.received for hour in hours), default=0))
    step = width / hours_of_day
    bars = []
    for number in range(hours_of_day):
        begins = since + timedelta(hours=number)
        hour = by_number.get(number)
        kinds: dict[str, int] = {}
        if hour is not None:
            kinds = {WAITING: hour.waiting} | {str(kind): count for kind, count in hour.outcomes.items()}
        parts, below = [], height
        for kind in (*STACK, WAITING):
            if count_of := kinds.get(kind, 0):
                tall = height * count_of / top
                below -= tall
                parts.append(Part(str(kind), count_of, round(max(0.0, below), 2), round(tall, 2)))
        bars.append(Bar(begins, hour.received if hour else 0, round(number * step, 2), tuple(parts)))
    return Bars(width, height, round(step * 0.72, 2), top, tuple(bars))


def round_top(most: int) -> int:
    """The next 1, 2 or 5 times a power of ten; at least 4, so that a single image does not fill the chart."""
    if most <= 4:
        return 4
    power: int = 10 ** int(log10(most))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= most)


@dataclass(frozen=True, slots=True)
class Scale:
    """A probability on a line from 0 to 1 with its threshold, in hundredths."""

    probability: float
    threshold: float


def scale(probability: float, threshold: float) -> Scale:
    return Scale(round(100 * probability, 1), round(100 * threshold, 1))


@dataclass(frozen=True, slots=True)
class Line:
    """A share over time as a path with the band of its interval."""

    path: str
    band: str
    end: tuple[float, float]
    """Of the path."""
    top: float
    """What the full height stands for."""
    first: tuple[int, float]
    """Number of the period, from 0, and value there."""
    last: tuple[int, float]


def line(points: Sequence[tuple[float, float, float] | None], *, width: float = 240, height: float = 48) -> Line | None:
    """Of (value, low, high), one for each period, None where nothing is known; None with fewer than two values."""
    known = [(place, point) for place, point in enumerate(points) if point is not None]
    if len(known) < 2:
        return None
    top = min(1.0, max(0.05, ceil(max(point[2] for _, point in known) * 10) / 10))
    step = width / (len(points) - 1)

    def at(place: int, value: float) -> tuple[float, float]:
        return round(place * step, 1), round(height * (1 - min(1.0, value / top)), 1)

    middle = [at(place, point[0]) for place, point in known]
    low = [at(place, point[1]) for place, point in known]
    high = [at(place, point[2]) for place, point in known]
    first, last = ((place, point[0]) for place, point in (known[0], known[-1]))
    return Line(_path(middle), f"{_path([*high, *reversed(low)])}Z", middle[-1], top, first, last)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
