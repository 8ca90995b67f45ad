"""What verifications found, as events: the trail tells when it was last found whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.events import PROCESS, record_event
from audit.models import AuditEvent
from audit.verification import Findings

VERIFIED, BROKEN = "chain.verified", "chain.broken"


@dataclass(frozen=True, slots=True)
class Verdict:
    at: datetime
    whole: bool
    events: int
    first_bad: int | None
    """Id of the event; None where none can be named."""
    why: str
    """Empty where it is whole."""


def record_verdict(session: Session, findings: Findings, actor: str = PROCESS) -> None:
    fault, head = findings.first_bad, findings.head
    counts: dict[str, Any] = {
        "events": findings.events,
        "head": head.hash if head else None,
        "anchors": findings.anchors,
        "books": findings.books,
    }
    if fault is None:
        record_event(session, VERIFIED, actor=actor, **counts)
    else:
        record_event(session, BROKEN, actor=actor, first_bad=fault.id, why=fault.why, **counts)


def last_verdict(session: Session) -> Verdict | None:
    statement = select(AuditEvent).where(AuditEvent.kind.in_((VERIFIED, BROKEN))).order_by(AuditEvent.id.desc())
    event = session.scalar(statement.limit(1))
    if event is None:
        return None
    data = event.data
    whole = event.kind == VERIFIED
    return Verdict(event.at, whole, data["events"], data.get("first_bad"), "" if whole else data["why"])
