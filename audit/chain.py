"""The chain of audit events: each carries the hash of the one before it, so a change anywhere shows from there on.

Events are held back until everything else of their transaction is written. Only then is the head of the chain locked,
until the commit: no transaction waits for another with the head in its hands, so there is no deadlock, and ids run in
the order of commits. Whoever reads events by id therefore never misses one that is committed later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import rfc8785
from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.models import AuditEvent, ChainHead, now

GENESIS = "0" * 64
"""Stands before the first event."""
HEAD = 1
"""Id of the one row of the head."""
_PENDING = "pneumo_pending_events"


def hold_event(session: Session, kind: str, subject: str, actor: str, data: Mapping[str, object]) -> None:
    """Raises TypeError where ``data`` is no JSON."""
    plain = json.loads(json.dumps(data))  # as the database will give it back
    event = AuditEvent(at=now(), kind=kind, subject=subject, actor=actor, data=plain)
    session.info.setdefault(_PENDING, []).append(event)


def append_held_events(session: Session) -> None:
    """Put the events of this transaction at the end of the chain; the last thing before its commit."""
    events: list[AuditEvent] = session.info.pop(_PENDING, [])
    if not events:
        return
    session.flush()
    head = session.scalars(select(ChainHead).where(ChainHead.id == HEAD).with_for_update()).one()
    for event in events:
        event.id, event.previous = head.event_id + 1, head.hash
        event.hash = digest(event)
        head.event_id, head.hash, head.events = event.id, event.hash, head.events + 1
        session.add(event)


def digest(event: AuditEvent) -> str:
    """SHA-256 of everything the row says but its own hash. Raises rfc8785.CanonicalizationError."""
    return hashlib.sha256(rfc8785.dumps(document(event))).hexdigest()


def moment(at: datetime) -> str:
    """How events say times: UTC with microseconds and offset."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def document(event: AuditEvent) -> dict[str, Any]:
    """What is hashed: ``docs/integrity.md`` tells it to auditors, so it never changes."""
    return {
        "id": event.id,
        "at": moment(event.at),
        "kind": event.kind,
        "subject": event.subject,
        "actor": event.actor,
        "data": event.data,
        "previous": event.previous,
    }
