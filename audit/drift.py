"""Does each source still send what it used to? Its outcomes in a window of days held against its reference.

Everything is said under one model version: another model's scores are no reference for this one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.orm import Session

from audit.comparison import Comparison, Period, compare
from audit.models import ModelVersion
from audit.tallies import Days, Tally, find_model, spans, tally

WEEK = 7
REFERENCE_WEEKS = 4
FEWEST_OF_A_WEEK = 25
"""Scored images in a source's week before it can begin the reference."""


@dataclass(frozen=True, slots=True)
class SourceDrift:
    source: str
    reference: Period | None
    """None where four whole weeks with enough images did not pass before the window."""
    window: Period
    comparison: Comparison
    periods: tuple[Period, ...]
    """Every one from the source's first image to today; the last may not be over."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    model: ModelVersion
    window: Days
    sources: tuple[SourceDrift, ...]


def read_drift(
    session: Session,
    *,
    today: date,
    stretch: int = WEEK,
    reference: Days | None = None,
    window: Days | None = None,
    source: str | None = None,
    model: str | None = None,
) -> DriftReport | None:
    """The report in periods of ``stretch`` days; None where no model has judged anything yet.

    Args:
        window: otherwise the last whole week before ``today``, Monday to Sunday.
        reference: otherwise each source's first four whole weeks, from the first one with FEWEST_OF_A_WEEK scores.
        model: beginning of a Device UID; otherwise the model that judged last.

    Raises:
        ValueError: there is no such source or model, or reference and window share a day.
    """
    version = find_model(session, model)
    if version is None:
        return None
    window = window or Days(monday_of(today) - timedelta(days=WEEK), monday_of(today) - timedelta(days=1))
    if reference and reference.overlaps(window):
        raise ValueError(f"the reference {reference} and the window {window} must not share a day")
    seen = spans(session, version.id)
    if source is not None:
        if source not in seen:
            raise ValueError(f"this model has judged nothing from {source!r}; it knows: {', '.join(seen) or 'none'}")
        seen = {source: seen[source]}
    if not seen:
        return DriftReport(version, window, ())
    everything = Days(monday_of(min(days.first for days in seen.values())), max(days.last for days in seen.values()))
    weeks = tally(session, version.id, everything, stretch=WEEK)
    periods = weeks if stretch == WEEK else tally(session, version.id, everything, stretch=stretch)
    references = {name: reference or _first_weeks(weeks[name], seen[name], window) for name in seen}
    ranges = {window, *(days for days in references.values() if days)}
    in_range = {days: tally(session, version.id, days, stretch=days.length) for days in ranges}

    def over(days: Days, name: str) -> Period:
        return Period(days, in_range[days].get(name, {}).get(days.first, Tally()))

    sources = []
    for name, days in references.items():
        before, now = over(days, name) if days else None, over(window, name)
        series = [Period(Days(first, first + timedelta(stretch - 1)), found) for first, found in periods[name].items()]
        series.sort(key=lambda period: period.days)
        sources.append(SourceDrift(name, before, now, compare(before, now), tuple(series)))
    return DriftReport(version, window, tuple(sources))


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_weeks(weeks: dict[date, Tally], seen: Days, window: Days) -> Days | None:
    """From the first whole week with enough scored images on; None unless they end before the window."""
    for monday in sorted(weeks):
        if monday >= seen.first and weeks[monday].scored >= FEWEST_OF_A_WEEK:
            days = Days(monday, monday + timedelta(days=REFERENCE_WEEKS * WEEK - 1))
            return days if days.last < window.first else None
    return None
