"""Which workers have lately taken a message off their queue."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from audit.models import Heartbeat, now

_FORGOTTEN_AFTER = timedelta(days=1)


def beat(session: Session, queue: str, worker: str) -> None:
    at = now()
    session.merge(Heartbeat(queue=queue, worker=worker, at=at))
    session.execute(delete(Heartbeat).where(Heartbeat.at < at - _FORGOTTEN_AFTER))
