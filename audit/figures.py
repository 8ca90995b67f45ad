"""The books in figures: what is counted, what waits, and since when. Nothing in here tells of a patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.models import (
    AuditEvent,
    Delivery,
    Heartbeat,
    Instance,
    Job,
    JobState,
    ModelVersion,
    Prediction,
    Role,
    Source,
    Study,
    now,
)
from core.records import DeliveryState


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts by what they are told apart by; ages in seconds."""

    instances: dict[str, int]
    """By source."""
    predictions: dict[tuple[str, str, str], int]
    """By outcome, model name and model version; what models in shadow said is not among them."""
    deliveries: dict[tuple[str, str], int]
    """By state and destination."""
    events: dict[str, int]
    """By kind."""
    jobs_pending: int
    studies_waiting: int
    """Studies whose results were not let go yet."""
    oldest_unanalysed_age: float
    """Since the oldest image without an outcome was received; 0 when there is none."""
    oldest_undelivered_age: dict[str, float]
    """By destination, since its oldest pending delivery was first due."""
    heartbeat_age: dict[str, float]
    """By queue, since any worker last took a message off it."""


def read_figures(session: Session) -> Figures:
    at = now()
    sources = select(Source.name, func.count()).join(Instance, Instance.source_id == Source.id).group_by(Source.name)
    kinds = select(AuditEvent.kind, func.count()).group_by(AuditEvent.kind)
    predictions = session.execute(
        select(Prediction.outcome, ModelVersion.name, ModelVersion.version, func.count())
        .join(Prediction.model_version)
        .where(Prediction.role == Role.ACTIVE)
        .group_by(Prediction.outcome, ModelVersion.name, ModelVersion.version)
    )
    deliveries = session.execute(
        select(Delivery.state, Delivery.destination, func.count()).group_by(Delivery.state, Delivery.destination)
    )
    undelivered = session.execute(
        select(Delivery.destination, func.min(Delivery.first_due_at))
        .where(Delivery.state == DeliveryState.PENDING, Delivery.first_due_at.is_not(None))
        .group_by(Delivery.destination)
    )
    jobs_pending, oldest_job = session.execute(
        select(func.count(), func.min(Job.created_at)).where(Job.state == JobState.PENDING)
    ).one()
    return Figures(
        instances=dict(session.execute(sources).all()),
        predictions={(outcome, name, version): count for outcome, name, version, count in predictions},
        deliveries={(state, destination): count for state, destination, count in deliveries},
        events=dict(session.execute(kinds).all()),
        jobs_pending=jobs_pending,
        studies_waiting=session.scalar(select(func.count()).where(Study.reported_at.is_(None))) or 0,
        oldest_unanalysed_age=_age(at, oldest_job),
        oldest_undelivered_age={destination: _age(at, first) for destination, first in undelivered},
        heartbeat_age=heartbeat_ages(session),
    )


def heartbeat_ages(session: Session) -> dict[str, float]:
    """Seconds since any worker last took a message off each queue; a queue nobody ever served is absent."""
    at = now()
    latest = session.execute(select(Heartbeat.queue, func.max(Heartbeat.at)).group_by(Heartbeat.queue))
    return {queue: _age(at, beat) for queue, beat in latest}


def _age(at: datetime, since: datetime | None) -> float:
    """Never negative, though the clocks of two machines may differ."""
    return max(0.0, (at - since).total_seconds()) if since else 0.0
