"""The day at a glance: what came in since midnight, what became of it, and what waits for whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, extract, func, select
from sqlalchemy.orm import Session

from audit.deliveries import is_dead_letter
from audit.figures import heartbeat_ages
from audit.models import Alert, Delivery, Instance, Job, JobState, Prediction, ResultObject, Role, Study, now
from audit.score_bins import whole
from core.records import DeliveryState, Outcome

_Moment = SQLColumnExpression[datetime]
_SECONDS_OF_AN_HOUR = 3600
_SECONDS_OF_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Hour:
    """Images by the hour they came in; ``waiting`` have no outcome yet."""

    number: int
    """Whole hours since the day began; there are 23 or 25 of them when the clocks change."""
    received: int
    outcomes: dict[Outcome, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class DestinationToday:
    name: str
    states: dict[DeliveryState, int]
    """Of the results of studies that received an image today."""
    pending: int
    """Of whatever day."""
    dead: int
    """Of whatever day."""


@dataclass(frozen=True, slots=True)
class Today:
    since: datetime
    at: datetime
    hours: tuple[Hour, ...]
    waiting: int
    """Images without an outcome, of whatever day."""
    latency_median: float | None
    """Seconds from the arrival of an image to its outcome; None before the first one."""
    latency_p95: float | None
    destinations: tuple[DestinationToday, ...]
    alerts_open: int
    alerts_unacknowledged: int
    heartbeats: dict[str, float]
    """By queue, seconds since a worker last served it."""

    @property
    def received(self) -> int:
        return sum(hour.received for hour in self.hours)

    @property
    def outcomes(self) -> Counter[Outcome]:
        total: Counter[Outcome] = Counter()
        for hour in self.hours:
            total.update(hour.outcomes)
        return total


def read_today(session: Session, since: datetime) -> Today:
    """What is standing and was reported: neither withdrawn answers nor those of models in shadow are counted.

    Args:
        since: when the day began where the reader is.
    """
    median, p95 = _latency(session, since)
    alerts, unacknowledged = session.execute(
        select(func.count(), func.count().filter(Alert.acknowledged_at.is_(None))).where(Alert.closed_at.is_(None))
    ).one()
    return Today(
        since=since,
        at=now(),
        hours=_hours(session, since),
        waiting=session.scalar(select(func.count()).where(Job.state == JobState.PENDING)) or 0,
        latency_median=median,
        latency_p95=p95,
        destinations=_destinations(session, since),
        alerts_open=alerts,
        alerts_unacknowledged=unacknowledged,
        heartbeats=heartbeat_ages(session),
    )


def _hours(session: Session, since: datetime) -> tuple[Hour, ...]:
    hour = whole((extract("epoch", Instance.received_at) - int(since.timestamp())) / _SECONDS_OF_AN_HOUR)
    today = Instance.received_at >= since
    received = dict(session.execute(select(hour, func.count()).where(today).group_by(hour)).all())
    waits = select(hour, func.count()).join(Instance.job).where(today, Job.state == JobState.PENDING).group_by(hour)
    waiting = dict(session.execute(waits).all())
    ended = (
        select(hour, Prediction.outcome, func.count(Instance.id.distinct()))
        .join(Prediction.instance)
        .where(today, *_standing())
        .group_by(hour, Prediction.outcome)
    )
    outcomes: dict[int, dict[Outcome, int]] = {}
    for number, outcome, count in session.execute(ended):
        outcomes.setdefault(number, {})[outcome] = count
    return tuple(
        Hour(number, received[number], outcomes.get(number, {}), waiting.get(number, 0)) for number in sorted(received)
    )


def _latency(session: Session, since: datetime) -> tuple[float | None, float | None]:
    seconds = _seconds(session, Instance.received_at, Prediction.created_at).label("seconds")
    chosen: Select[float] = select(seconds).join(Prediction.instance).where(Instance.received_at >= since, *_standing())
    count = session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    if not count:
        return None, None
    in_order = chosen.order_by(seconds)
    median, p95 = (session.scalar(in_order.offset(int(share * (count - 1))).limit(1)) for share in (0.5, 0.95))
    return median, p95


def _seconds(
    session: Session, first: SQLColumnExpression[datetime], then: SQLColumnExpression[datetime]
) -> ColumnElement[Any]:
    if session.get_bind().dialect.name == "sqlite":  # whose epochs are whole seconds
        return (func.julianday(then) - func.julianday(first)) * _SECONDS_OF_A_DAY
    return extract("epoch", then) - extract("epoch", first)


def _standing() -> tuple[ColumnElement[bool], ...]:
    return Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None)


def _destinations(session: Session, since: datetime) -> tuple[DestinationToday, ...]:
    of_today = (
        select(Delivery.destination, Delivery.state, func.count())
        .join(Delivery.result_object)
        .join(ResultObject.study)
        .where(Study.last_received_at >= since, (Delivery.state != DeliveryState.DEAD) | is_dead_letter())
        .group_by(Delivery.destination, Delivery.state)
    )
    states: dict[str, dict[DeliveryState, int]] = {}
    for name, state, count in session.execute(of_today):
        states.setdefault(name, {})[state] = count
    pending = _of_whatever_day(session, Delivery.state == DeliveryState.PENDING)
    dead = _of_whatever_day(session, is_dead_letter())
    return tuple(
        DestinationToday(name, states.get(name, {}), pending.get(name, 0), dead.get(name, 0))
        for name in sorted(states.keys() | pending.keys() | dead.keys())
    )


def _of_whatever_day(session: Session, which: ColumnElement[bool]) -> dict[str, int]:
    counted = select(Delivery.destination, func.count()).where(which).group_by(Delivery.destination)
    return dict(session.execute(counted).all())
