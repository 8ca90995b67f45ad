"""What every book is asked: is each row what its events say, and does an event tell of each row?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Dialect, String, TypeDecorator, select
from sqlalchemy.orm import Session

from audit.chain import moment
from audit.models import AuditEvent

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Fault:
    id: int | None
    """Of the event that is wrong or missing; None where there is none to name."""
    why: str
    """For people; holds nothing of a patient."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some hundred rows that were held against the events about them."""

    last_id: int | None
    """None where there were no more rows."""
    fault: Fault | None = None
    """The first."""


@dataclass(frozen=True, slots=True)
class Said:
    id: int
    subject: str
    kind: str
    actor: str
    data: dict[str, Any]


class Moment(TypeDecorator[str]):
    """A time of a row in the words of events. As it stands where it is none: who changes a row may write anything."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - hook
        if isinstance(value, datetime):
            return moment(value)
        return None if value is None else f"{value}+00:00".replace(" ", "T", 1)  # SQLite keeps UTC as text


class Book(Protocol):
    """Rows and events are read in one snapshot (``Database.snapshot``): they are written by one transaction."""

    held: int
    """Events whose rows were looked at."""

    def takes(self, event: AuditEvent) -> bool:
        """Whether the event tells of rows of this book."""

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        """The rows that these events tell of, held against them."""

    def page(self, session: Session, after: int) -> Page:
        """The rows after this id, each held against the events about it."""


def events_about(session: Session, subjects: Iterable[str], kinds: Sequence[str]) -> Sequence[Said]:
    """In the order of the chain."""
    columns = (AuditEvent.id, AuditEvent.subject, AuditEvent.kind, AuditEvent.actor, AuditEvent.data)
    about = (AuditEvent.subject.in_(set(subjects)), AuditEvent.kind.in_(kinds))
    return [Said(*row) for row in session.execute(select(*columns).where(*about).order_by(AuditEvent.id))]
