"""What people ask the books. Every read is a fixed number of statements, however many rows it returns.

The rows come with everything their callers need; touching a relation that was not asked for raises instead of running
one more statement per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, literal, select, tuple_
from sqlalchemy.orm import Session, contains_eager, raiseload, selectinload

from audit.deliveries import DeliveryFilter, select_deliveries
from audit.models import (
    AuditEvent,
    Delivery,
    Instance,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
    Source,
    Study,
    UTCDateTime,
)
from core.records import Outcome

PageKey = tuple[datetime, int]
"""Where a page of predictions ended: ``created_at`` and ``id`` of its last row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter:
    """All that are given must hold; None means any. ``..._from`` is inside its range, ``..._before`` is not."""

    patient_id: str | None = None
    """Of the image as received, which may differ from the patient its study was first seen under."""
    issuer_of_patient_id: str | None = None
    study_instance_uid: str | None = None
    outcome: Outcome | None = None
    warning: str | None = None
    """Code of a warning beside a prediction."""
    reason: str | None = None
    """Code of a reason why there is no prediction."""
    model: str | None = None
    """Name or Device UID."""
    role: Role | None = Role.ACTIVE
    """Unless asked for, what models in shadow said is no answer: it was never reported."""
    source: str | None = None
    received_from: datetime | None = None
    received_before: datetime | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


def find_predictions(
    session: Session, chosen: PredictionFilter, *, limit: int, after: PageKey | None = None
) -> list[Prediction]:
    """Newest first, with instance, study, source, model, warnings and deliveries.

    ``after`` is the key of the last row of the page before: rows that arrive meanwhile stand before the first page and
    move nothing. A transaction that was still open when its place was passed is seen by the next walk only.
    """
    newest_first = _predictions().order_by(Prediction.created_at.desc(), Prediction.id.desc())
    statement = newest_first.where(*_conditions(chosen)).limit(limit)
    if after is not None:
        created_at, last_id = after
        place = tuple_(literal(created_at, UTCDateTime()), literal(last_id))
        statement = statement.where(tuple_(Prediction.created_at, Prediction.id) < place)
    return list(session.scalars(statement))


def _conditions(chosen: PredictionFilter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (Instance.patient_id, chosen.patient_id),
        (Instance.issuer_of_patient_id, chosen.issuer_of_patient_id),
        (Study.study_instance_uid, chosen.study_instance_uid),
        (Prediction.outcome, chosen.outcome),
        (Prediction.role, chosen.role),
        (Source.name, chosen.source),
    ):
        if value is not None:
            yield column == value
    for moment, first, end in (
        (Instance.received_at, chosen.received_from, chosen.received_before),
        (Prediction.created_at, chosen.created_from, chosen.created_before),
    ):
        if first is not None:
            yield moment >= first
        if end is not None:
            yield moment < end
    for severity, code in ((Severity.WARNING, chosen.warning), (Severity.REASON, chosen.reason)):
        if code is not None:
            yield Prediction.warnings.any((PredictionWarning.severity == severity) & (PredictionWarning.code == code))
    if chosen.model is not None:
        yield (ModelVersion.name == chosen.model) | (ModelVersion.device_uid == chosen.model)


def get_prediction(session: Session, prediction_id: int) -> Prediction | None:
    return session.scalar(_predictions().where(Prediction.id == prediction_id))


def _predictions() -> Select[Prediction]:
    instance = contains_eager(Prediction.instance)
    return (
        select(Prediction)
        .join(Prediction.instance)
        .join(Instance.study)
        .join(Instance.source)
        .join(Prediction.model_version)
        .options(
            instance.contains_eager(Instance.study),
            instance.contains_eager(Instance.source),
            contains_eager(Prediction.model_version),
            selectinload(Prediction.warnings),
            selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
            raiseload("*"),
        )
    )


def get_study(session: Session, study_instance_uid: str) -> Study | None:
    """With every instance received, analysed or not, in the order of arrival; nothing of models in shadow."""
    instances = selectinload(Study.instances)
    predictions = instances.selectinload(Instance.predictions.and_(Prediction.role == Role.ACTIVE))
    statement = (
        select(Study)
        .where(Study.study_instance_uid == study_instance_uid)
        .options(
            instances.joinedload(Instance.job, innerjoin=True),
            instances.joinedload(Instance.source, innerjoin=True),
            predictions.joinedload(Prediction.model_version, innerjoin=True),
            predictions.selectinload(Prediction.warnings),
            predictions.selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
            raiseload("*"),
        )
    )
    return session.scalar(statement)


def find_events(
    session: Session,
    *,
    kind: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    limit: int,
    before_id: int | None = None,
) -> list[AuditEvent]:
    """Newest first; ``since`` is inside the range, ``before_id`` is the id of the last row of the page before."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if kind is not None:
        statement = statement.where(AuditEvent.kind == kind)
    if subject is not None:
        statement = statement.where(AuditEvent.subject == subject)
    if since is not None:
        statement = statement.where(AuditEvent.at >= since)
    if before_id is not None:
        statement = statement.where(AuditEvent.id < before_id)
    return list(session.scalars(statement))


def find_deliveries(session: Session, chosen: DeliveryFilter, limit: int) -> list[Delivery]:
    """Newest first, each with its result object."""
    newest_first = select_deliveries(chosen).order_by(None).order_by(Delivery.id.desc())
    return list(session.scalars(newest_first.limit(limit)))
