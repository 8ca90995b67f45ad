"""The events as an auditor gets them, to check the chain without us."""

from __future__ import annotations

from collections.abc import Iterator

import rfc8785
from sqlalchemy import select

from audit.chain import document
from audit.models import AuditEvent
from audit.session import Database

_AT_ONCE = 1000


def exported_events(database: Database) -> Iterator[bytes]:
    """Lines of canonical JSON in the order of the chain: what was hashed, and the hash."""
    last: int | None = None
    while True:
        statement = select(AuditEvent).order_by(AuditEvent.id).limit(_AT_ONCE)
        with database.read() as session:
            events = session.scalars(statement if last is None else statement.where(AuditEvent.id > last)).all()
        if not events:
            return
        for event in events:
            yield rfc8785.dumps({**document(event), "hash": event.hash}) + b"\n"
        last = events[-1].id
