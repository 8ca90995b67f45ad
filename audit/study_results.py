"""What was said of a reported study's images, for results about the study as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session, joinedload, selectinload

from audit.events import record_event
from audit.models import (
    Delivery,
    Instance,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
    Study,
    now,
)
from core.records import STUDY_KINDS, Analysis, Finding, ModelIdentity
from core.records import Prediction as Predicted
from core.records import ResultObject as BuiltObject


@dataclass(frozen=True, slots=True)
class ReportedImage:
    """An image with the newest answer that stands, and the objects that tell it."""

    spool_name: str
    model: ModelIdentity
    analysis: Analysis
    analysed_at: datetime
    results: tuple[BuiltObject, ...]
    destinations: frozenset[str]
    generation: int


@dataclass(frozen=True, slots=True)
class ReportedStudy:
    id: int
    study_instance_uid: str
    reported_at: datetime
    images: tuple[ReportedImage, ...]
    earlier: tuple[BuiltObject, ...]
    """Results about the study as it was before, oldest first."""


def studies_to_conclude(session: Session, limit: int) -> list[ReportedStudy]:
    """Reported studies whose results as a whole are still to be made, oldest first."""
    statement = select(Study).where(_waits()).order_by(Study.reported_at).limit(limit)
    return [_reported(session, study) for study in session.scalars(statement)]


def conclude_study(
    session: Session,
    study: ReportedStudy,
    results: Sequence[tuple[BuiltObject, Collection[str]]],
    *,
    error: str = "",
) -> bool:
    """Keep each result with its deliveries, due at once; False where the study grew or another worker was first.

    Args:
        error: why there are none although some were wanted; becomes an event.
    """
    at = now()
    unchanged = (Study.id == study.id, Study.reported_at == study.reported_at, Study.concluded_at.is_(None))
    if session.scalar(update(Study).where(*unchanged).values(concluded_at=at).returning(Study.id)) is None:
        return False
    if error:
        record_event(session, "study.conclusion_failed", subject=study.study_instance_uid, error=error)
    made = []
    for result, destinations in results:
        known = exists().where(ResultObject.sop_instance_uid == result.sop_instance_uid)
        if not session.scalar(select(known)):
            made.append(result_row(study.id, result, destinations, due_at=at))
    if made:
        session.add_all(made)
        record_event(session, "study.concluded", subject=study.study_instance_uid, deliveries=destined(made))
    return True


def result_row(
    study_id: int, result: BuiltObject, destinations: Collection[str], due_at: datetime | None = None
) -> ResultObject:
    """A result with its deliveries, which are held until the study is idle where ``due_at`` is None."""
    return ResultObject(
        study_id=study_id,
        kind=result.kind,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        spool_name=result.spool_name,
        sha256=result.sha256,
        deliveries=[Delivery(destination=name, due_at=due_at, first_due_at=due_at) for name in destinations],
    )


def destined(results: Iterable[ResultObject]) -> list[list[str]]:
    """Which object goes where, as the event of what was made says it."""
    return sorted([each.sop_instance_uid, row.destination] for each in results for row in each.deliveries)


def model_identity(row: ModelVersion) -> ModelIdentity:
    return ModelIdentity(
        name=row.name,
        version=row.version,
        manufacturer=row.manufacturer,
        digest=row.digest,
        preprocessing=row.preprocessing,
        label=row.label,
        threshold=row.threshold,
        temperature=row.temperature,
    )


def analysis_of(row: Prediction) -> Analysis:
    """As the model gave it, but for the shares of several classes, which the row does not keep."""
    model = row.model_version
    predicted = None
    if row.probability is not None:
        predicted = Predicted(model.label, row.probability, model.threshold)
    return Analysis(
        row.outcome,
        prediction=predicted,
        reasons=_findings(row.warnings, Severity.REASON),
        warnings=_findings(row.warnings, Severity.WARNING),
        voi=row.voi,
    )


def _waits() -> ColumnElement[bool]:
    return Study.reported_at.is_not(None) & Study.concluded_at.is_(None)


def _reported(session: Session, study: Study) -> ReportedStudy:
    statement = (
        select(Prediction)
        .join(Instance, Prediction.instance_id == Instance.id)
        .where(Instance.study_id == study.id, Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None))
        .where(Instance.spool_name != "")  # of a study that was erased and has come back in part
        .order_by(Instance.id, Prediction.id)
        .options(
            joinedload(Prediction.instance, innerjoin=True).joinedload(Instance.job, innerjoin=True),
            joinedload(Prediction.model_version, innerjoin=True),
            selectinload(Prediction.warnings),
            selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
        )
    )
    newest = {prediction.instance_id: prediction for prediction in session.scalars(statement)}
    earlier = session.scalars(
        select(ResultObject)
        .where(ResultObject.study_id == study.id, ResultObject.kind.in_(STUDY_KINDS))
        .order_by(ResultObject.id)
    )
    if study.reported_at is None:
        raise ValueError(f"study {study.id} is not reported")
    return ReportedStudy(
        study.id,
        study.study_instance_uid,
        study.reported_at,
        tuple(_image(prediction) for prediction in newest.values() if prediction.result_objects),
        tuple(_object(row) for row in earlier),
    )


def _image(row: Prediction) -> ReportedImage:
    return ReportedImage(
        row.instance.spool_name,
        model_identity(row.model_version),
        analysis_of(row),
        row.created_at,
        tuple(_object(result) for result in row.result_objects),
        frozenset(delivery.destination for result in row.result_objects for delivery in result.deliveries),
        row.instance.job.generation,  # nothing of a reported study waits for another analysis
    )


def _object(row: ResultObject) -> BuiltObject:
    return BuiltObject(
        row.kind, row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.spool_name, row.sha256
    )


def _findings(rows: Sequence[PredictionWarning], severity: Severity) -> tuple[Finding, ...]:
    return tuple(Finding(row.code, row.detail) for row in rows if row.severity is severity)
