"""The books in figures: what is counted, what waits, and since when. Nothing in here tells of a patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.alerts import open_alerts
from audit.deliveries import is_dead_letter
from audit.models import (
    AuditEvent,
    Delivery,
    Feedback,
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

QUANTILES = (0.5, 0.95)
_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts by what they are told apart by; ages in seconds."""

    instances: dict[str, int]
    """By source."""
    predictions: dict[tuple[str, str, str, str], int]
    """By outcome, model name, model version and source; what models in shadow said is not among them."""
    deliveries: dict[tuple[str, str], int]
    """By state and destination; what a recall or an erasure ended is in none."""
    unconfirmed: dict[str, int]
    """By destination: sent, and still to be confirmed."""
    events: dict[str, int]
    """By kind."""
    feedback: dict[tuple[str, str, str], int]
    """By what the reader said, model name and model version."""
    alerts: tuple[tuple[str, str], ...]
    """Code and subject of those that are open."""
    jobs_pending: int
    studies_waiting: int
    """Studies whose results were not let go yet."""
    oldest_unanalysed_age: float
    """Since the oldest image without an outcome was received; 0 when there is none."""
    oldest_undelivered_age: dict[str, float]
    """By destination, since its oldest pending delivery was first due."""
    heartbeat_age: dict[str, float]
    """By queue, since any worker last took a message off it."""
    latency: dict[float, float]
    """Seconds from the arrival of an image to its outcome in the last hour, by quantile; empty where there was none."""


def read_figures(session: Session) -> Figures:
    at = now()
    sources = select(Source.name, func.count()).join(Instance, Instance.source_id == Source.id).group_by(Source.name)
    kinds = select(AuditEvent.kind, func.count()).group_by(AuditEvent.kind)
    by_ids = (
        select(Prediction.outcome, Prediction.model_version_id, Instance.source_id, func.count().label("count"))
        .join(Prediction.instance)
        .where(Prediction.role == Role.ACTIVE)
        .group_by(Prediction.outcome, Prediction.model_version_id, Instance.source_id)
        .subquery()
    )
    predictions = session.execute(
        select(by_ids.c.outcome, ModelVersion.name, ModelVersion.version, Source.name, func.sum(by_ids.c.count))
        .join(ModelVersion, ModelVersion.id == by_ids.c.model_version_id)
        .join(Source, Source.id == by_ids.c.source_id)
        .group_by(by_ids.c.outcome, ModelVersion.name, ModelVersion.version, Source.name)
    )
    feedback = session.execute(
        select(Feedback.agreement, ModelVersion.name, ModelVersion.version, func.count())
        .join(Feedback.prediction)
        .join(Prediction.model_version)
        .group_by(Feedback.agreement, ModelVersion.name, ModelVersion.version)
    )
    unconfirmed = session.execute(
        select(Delivery.destination, func.count())
        .where(Delivery.confirm_at.is_not(None))
        .group_by(Delivery.destination)
    )
    deliveries = session.execute(
        select(Delivery.state, Delivery.destination, func.count())
        .where((Delivery.state != DeliveryState.DEAD) | is_dead_letter())
        .group_by(Delivery.state, Delivery.destination)
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
        predictions={(outcome, name, version, source): int(n) for outcome, name, version, source, n in predictions},
        deliveries={(state, destination): count for state, destination, count in deliveries},
        unconfirmed=dict(unconfirmed.all()),
        events=dict(session.execute(kinds).all()),
        feedback={(agreement, name, version): count for agreement, name, version, count in feedback},
        alerts=tuple((alert.code, alert.subject) for alert in open_alerts(session)),
        jobs_pending=jobs_pending,
        studies_waiting=session.scalar(select(func.count()).where(Study.reported_at.is_(None))) or 0,
        oldest_unanalysed_age=_age(at, oldest_job),
        oldest_undelivered_age={destination: _age(at, first) for destination, first in undelivered},
        heartbeat_age=heartbeat_ages(session),
        latency=_latency(session, at),
    )


def _latency(session: Session, at: datetime) -> dict[float, float]:
    finished = session.execute(
        select(Job.created_at, Job.finished_at).where(
            Job.finished_at >= at - _LATELY, Job.state == JobState.DONE, Job.generation == 1
        )
    )
    seconds = sorted(_age(done, booked) for booked, done in finished if done is not None)
    return {share: seconds[min(int(share * len(seconds)), len(seconds) - 1)] for share in QUANTILES if seconds}


def heartbeat_ages(session: Session) -> dict[str, float]:
    """Seconds since any worker last took a message off each queue; a queue nobody ever served is absent."""
    at = now()
    latest = session.execute(select(Heartbeat.queue, func.max(Heartbeat.at)).group_by(Heartbeat.queue))
    return {queue: _age(at, beat) for queue, beat in latest}


def _age(at: datetime, since: datetime | None) -> float:
    """Never negative, though the clocks of two machines may differ."""
    return max(0.0, (at - since).total_seconds()) if since else 0.0
