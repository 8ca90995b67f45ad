"""Which workers have lately taken a message off their queue."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from audit.models import Heartbeat, now

_FORGOTTEN_AFTER = timedelta(days=1)


def beat(session: Session, queue: str, worker: str) -> None:
    at = now()
    session.merge(Heartbeat(queue=queue, worker=worker, at=at))
    session.execute(delete(Heartbeat).where(Heartbeat.at < at - _FORGOTTEN_AFTER))


def seconds_since_beat(session: Session, queue: str, worker: str) -> float | None:
    """How long ago this worker last took a message off the queue; None where it never did, or not for days."""
    at = session.scalar(select(Heartbeat.at).where(Heartbeat.queue == queue, Heartbeat.worker == worker))
    return None if at is None else max(0.0, (now() - at).total_seconds())
