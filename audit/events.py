"""Audit events: written inside the transaction of what they tell about."""

from __future__ import annotations

from sqlalchemy.orm import Session

from audit.models import AuditEvent

PROCESS = "pneumo"


def record_event(session: Session, kind: str, *, subject: str = "", actor: str = PROCESS, **data: object) -> None:
    """``data`` must be JSON and hold no attribute of a patient."""
    session.add(AuditEvent(kind=kind, subject=subject, actor=actor, data=data))
