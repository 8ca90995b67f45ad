"""What people ask about predictions. Every read is a fixed number of statements, however many rows it returns.

The rows come with everything their callers need; touching a relation that was not asked for raises instead of running
one more statement per row.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, contains_eager, defaultload, defer, raiseload, selectinload
from sqlalchemy.sql.base import ExecutableOption

from audit.listing import Page, PageKey, Search, Sort
from audit.models import (
    Delivery,
    Feedback,
    Instance,
    ModelVersion,
    Picture,
    Prediction,
    PredictionWarning,
    ResultObject,
    Source,
    Study,
    Upload,
)
from audit.prediction_filter import PredictionFilter, narrow_predictions
from core.records import DeliveryState

WHOLE = (
    selectinload(Prediction.warnings),
    selectinload(Prediction.pictures),
    selectinload(Prediction.feedback),
    selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
)
"""What a prediction is read with where all about it is shown."""


def find_predictions(session: Session, chosen: PredictionFilter, page: Page) -> list[Prediction]:
    """With instance, study, source, upload, model, codes, pictures and feedback.

    Sorted by probability, those that have none are left out.
    """
    by = Prediction.probability if page.sort.by_probability else Prediction.created_at
    return load_predictions(session, _search(session, chosen, page.sort).page(by, page))


def key_of(row: Prediction, sort: Sort) -> PageKey:
    """Where a page ended whose last row this is. Raises ValueError where there is nothing to be sorted by."""
    by = row.probability if sort.by_probability else row.created_at
    if by is None:
        raise ValueError(f"prediction {row.id} has no probability to be sorted by")
    return by, row.id


def load_predictions(session: Session, ids: Sequence[int]) -> list[Prediction]:
    """In the order of their ids here; as ``find_predictions`` gives them."""
    statement = _with_parents().where(Prediction.id.in_(ids)).options(*_summary())
    found = {row.id: row for row in session.scalars(statement)}
    return [found[each] for each in ids if each in found]


def delivery_states(session: Session, ids: Sequence[int]) -> dict[int, Counter[DeliveryState]]:
    """How many deliveries of each prediction are in each state; a hundred times the rows would say no more."""
    found: defaultdict[int, Counter[DeliveryState]] = defaultdict(Counter)
    statement = (
        select(ResultObject.prediction_id, Delivery.state, func.count())
        .join(ResultObject.deliveries)
        .where(ResultObject.prediction_id.in_(ids))
        .group_by(ResultObject.prediction_id, Delivery.state)
    )
    for prediction_id, state, number in session.execute(statement):
        if prediction_id is not None:
            found[prediction_id][state] += number
    return found


def count_predictions(session: Session, chosen: PredictionFilter, sort: Sort) -> int:
    """How many a walk in this order comes past."""
    return _search(session, chosen, sort).count()


def get_prediction(session: Session, prediction_id: int) -> Prediction | None:
    """With all that is known about it."""
    job = contains_eager(Prediction.instance).contains_eager(Instance.job)
    detail = _with_parents().join(Instance.job).where(Prediction.id == prediction_id)
    return session.scalar(detail.options(job, *WHOLE, raiseload("*")))


def _search(session: Session, chosen: PredictionFilter, sort: Sort) -> Search:
    search = Search(session, Prediction.id)
    narrow_predictions(session, search, chosen)
    if sort.by_probability:
        search.where(Prediction.probability.is_not(None))
    return search


def _with_parents() -> Select[Prediction]:
    instance = contains_eager(Prediction.instance)
    return (
        select(Prediction)
        .join(Prediction.instance)
        .join(Instance.study)
        .join(Instance.source)
        .join(Prediction.model_version)
        .outerjoin(Instance.upload)
        .options(
            instance.contains_eager(Instance.study),
            instance.contains_eager(Instance.source),
            instance.contains_eager(Instance.upload),
            contains_eager(Prediction.model_version).options(defer(ModelVersion.preprocessing)),
        )
    )


def _summary() -> Collection[ExecutableOption]:
    """Half of the columns, which takes half of the time."""
    instance = defaultload(Prediction.instance)
    return (
        defer(Prediction.stage_seconds),
        instance.load_only(
            Instance.sop_instance_uid,
            Instance.series_instance_uid,
            Instance.patient_id,
            Instance.issuer_of_patient_id,
            Instance.received_at,
        ),
        instance.defaultload(Instance.study).load_only(
            Study.study_instance_uid, Study.accession_number, Study.patient_id
        ),
        instance.defaultload(Instance.source).load_only(Source.name),
        instance.defaultload(Instance.upload).load_only(Upload.principal),
        defaultload(Prediction.model_version).load_only(
            ModelVersion.name,
            ModelVersion.version,
            ModelVersion.device_uid,
            ModelVersion.label,
            ModelVersion.threshold,
        ),
        selectinload(Prediction.pictures).load_only(Picture.prediction_id, Picture.kind),
        selectinload(Prediction.feedback).load_only(Feedback.prediction_id, Feedback.reader, Feedback.agreement),
        selectinload(Prediction.warnings).load_only(
            PredictionWarning.prediction_id, PredictionWarning.severity, PredictionWarning.code
        ),
        raiseload("*"),
    )
