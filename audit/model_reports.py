"""What workers say of the models they should have: taken up, or not to be had on that machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.model_versions import since
from audit.models import AuditEvent, ModelVersion

_TAKEN_UP, _UNAVAILABLE = "model.taken_up", "model.unavailable"


@dataclass(frozen=True, slots=True)
class Trouble:
    worker: str
    why: str
    at: datetime


def report_taken_up(session: Session, version: ModelVersion, worker: str) -> None:
    record_event(session, _TAKEN_UP, subject=version.device_uid, worker=worker, state=version.state)


def report_unavailable(session: Session, version: ModelVersion, worker: str, why: str) -> None:
    """Once for each cause: a worker that is started again and again says nothing new."""
    if not any(trouble.worker == worker and trouble.why == why for trouble in troubles(session, version)):
        record_event(
            session, _UNAVAILABLE, subject=version.device_uid, worker=worker, state=version.state, why=why
        )  # fmt: skip


def troubles(session: Session, version: ModelVersion) -> list[Trouble]:
    """Of each worker whose last word on this model, since it came into its state, is that it cannot have it."""
    statement = (
        select(AuditEvent)
        .where(
            AuditEvent.subject == version.device_uid,
            AuditEvent.kind.in_((_TAKEN_UP, _UNAVAILABLE)),
            AuditEvent.at >= since(version),
        )
        .order_by(AuditEvent.id)
    )
    last = {event.data["worker"]: event for event in session.scalars(statement)}
    return [
        Trouble(worker, event.data["why"], event.at) for worker, event in last.items() if event.kind == _UNAVAILABLE
    ]
