"""Which workers have lately taken a message off their queue, and which model answers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from audit.models import Heartbeat, ModelState, ModelVersion, now
from core.records import ModelInCharge

_FORGOTTEN_AFTER = timedelta(days=1)


def beat(session: Session, queue: str, worker: str, about: ModelInCharge | None = None) -> None:
    """``about``: what an inference worker answers with."""
    at = now()
    known = None if about is None else asdict(about)
    session.merge(Heartbeat(queue=queue, worker=worker, at=at, about=known))
    session.execute(delete(Heartbeat).where(Heartbeat.at < at - _FORGOTTEN_AFTER))


def seconds_since_beat(session: Session, queue: str, worker: str) -> float | None:
    """How long ago this worker last took a message off the queue; None where it never did, or not for days."""
    at = session.scalar(select(Heartbeat.at).where(Heartbeat.queue == queue, Heartbeat.worker == worker))
    return None if at is None else max(0.0, (now() - at).total_seconds())


def model_in_charge(session: Session, within_seconds: float = 90) -> ModelInCharge | None:
    """What the next image is judged with; None where no inference worker was alive lately.

    Just after another model was activated some workers have it and others do not: those that have it count. Workers
    pinned to a weights file follow no activation; of them the one heard of last counts.
    """
    beats = session.scalars(
        select(Heartbeat)
        .where(Heartbeat.about.is_not(None), Heartbeat.at >= now() - timedelta(seconds=within_seconds))
        .order_by(Heartbeat.at.desc())
    )
    known = [ModelInCharge(**row.about) for row in beats if row.about is not None]
    active = session.execute(
        select(ModelVersion.name, ModelVersion.version).where(ModelVersion.state == ModelState.ACTIVE)
    ).first()
    chosen = [model for model in known if active is not None and (model.name, model.version) == tuple(active)]
    return next(iter((*chosen, *known)), None)
