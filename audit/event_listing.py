"""Audit events as lists show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select, union_all
from sqlalchemy.orm import Session

from audit.listing import Page, distinct_values, paged
from audit.models import AuditEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """All that are given must hold; None means any."""

    kind: str | None = None
    """As a whole, or its beginning with the dot: ``delivery.``"""
    subject: str | None = None
    actor: str | None = None
    request_id: str | None = None
    """Of the HTTP request it came of."""
    since: datetime | None = None
    before: datetime | None = None


def find_events(session: Session, chosen: EventFilter, page: Page) -> list[AuditEvent]:
    """In the order they were written, which is that of their ids."""
    where = list(_conditions(chosen))
    if chosen.kind is None:
        found = paged(select(AuditEvent.id).where(*where), AuditEvent.id, AuditEvent.id, page)
    elif kinds := _kinds(session, chosen.kind):
        # The newest of each kind, and of these the newest: the index has each kind in the order of ids.
        of_each = [paged(_of_kind(kind).where(*where), AuditEvent.id, AuditEvent.id, page).subquery() for kind in kinds]
        last = union_all(*(select(each.c.id) for each in of_each)).subquery()
        found = paged(select(last.c.id), last.c.id, last.c.id, Page(page.limit, page.sort))
    else:
        return []
    ids = session.scalars(found).all()
    newest_first = AuditEvent.id.desc() if page.sort.descends else AuditEvent.id
    return list(session.scalars(select(AuditEvent).where(AuditEvent.id.in_(ids)).order_by(newest_first)))


def count_events(session: Session, chosen: EventFilter) -> int:
    statement = select(func.count(AuditEvent.id)).where(*_conditions(chosen))
    if chosen.kind is not None:
        statement = statement.where(AuditEvent.kind.in_(_kinds(session, chosen.kind)))
    return session.scalar(statement) or 0


def _of_kind(kind: str) -> Select[int]:
    return select(AuditEvent.id).where(AuditEvent.kind == kind)


def _kinds(session: Session, words: str) -> list[str]:
    if not words.endswith("."):
        return [words]
    return [kind for kind in distinct_values(session, AuditEvent.kind) if kind.startswith(words)]


def _conditions(chosen: EventFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.subject is not None:
        yield AuditEvent.subject == chosen.subject
    if chosen.actor is not None:
        yield AuditEvent.actor == chosen.actor
    if chosen.request_id is not None:
        yield AuditEvent.data["request_id"].as_string() == chosen.request_id
    if chosen.since is not None:
        yield AuditEvent.at >= chosen.since
    if chosen.before is not None:
        yield AuditEvent.at < chosen.before
