"""Who sends: when last, how much, how much of it cannot be judged; and who was turned away."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.event_listing import EventFilter, find_events
from audit.listing import Page
from audit.models import Instance, Prediction, Role, Source
from core.records import Outcome

_REFUSED = "association.refused"


@dataclass(frozen=True, slots=True)
class ListedSource:
    row: Source
    images: int
    images_today: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """Of the answers since ``recent_from`` that stand."""


@dataclass(slots=True)
class RefusedCaller:
    """An AE title turned away at an address for one cause. The same refusal is written once a minute at most."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    cause: str
    count: int
    first_at: datetime
    last_at: datetime


def find_sources(session: Session, today_from: datetime, recent_from: datetime) -> list[ListedSource]:
    """By name."""
    images = _images(session)
    today = _images(session, today_from)
    outcomes: defaultdict[int, Counter[Outcome]] = defaultdict(Counter)
    statement = (
        select(Instance.source_id, Prediction.outcome, func.count())
        .join(Prediction.instance)
        .where(Prediction.created_at >= recent_from, Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None))
        .group_by(Instance.source_id, Prediction.outcome)
    )
    for source_id, outcome, number in session.execute(statement):
        outcomes[source_id][outcome] += number
    rows = session.scalars(select(Source).order_by(Source.name)).all()
    return [ListedSource(row, images[row.id], today[row.id], outcomes[row.id]) for row in rows]


def _images(session: Session, received_from: datetime | None = None) -> Counter[int]:
    statement = select(Instance.source_id, func.count()).group_by(Instance.source_id)
    if received_from is not None:
        statement = statement.where(Instance.received_at >= received_from)
    return Counter(dict(list(session.execute(statement))))


def refused_callers(session: Session, since: datetime, most_events: int = 2000) -> list[RefusedCaller]:
    """Of the last so many refusals, the last turned away first."""
    events = find_events(session, EventFilter(kind=_REFUSED, since=since), Page(most_events))
    callers: dict[tuple[str, str, str, str], RefusedCaller] = {}
    for event in events:
        told = [str(event.data.get(name, "")) for name in ("called_ae_title", "address", "cause")]
        key = (event.actor, told[0], told[1], told[2])
        if key in callers:
            callers[key].count += 1
            callers[key].first_at = event.at
        else:
            callers[key] = RefusedCaller(*key, count=1, first_at=event.at, last_at=event.at)
    return list(callers.values())
