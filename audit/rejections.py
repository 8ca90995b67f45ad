"""Rejection notes in the books: which results of a study one withdraws, and where it has to go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager, raiseload, selectinload

from audit.events import record_event
from audit.models import Delivery, Instance, Prediction, ResultObject, Study, now
from audit.recalls import Recall, lock_studies
from audit.study_results import analysis_of, model_identity, result_row
from core.records import Analysis, ModelIdentity
from core.records import ResultObject as BuiltObject


@dataclass(frozen=True, slots=True)
class WithdrawnImage:
    """One to make the note's header from."""

    spool_name: str
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class WithdrawnStudy:
    id: int
    study_instance_uid: str
    model: ModelIdentity
    device_uid: str
    recalled_at: datetime
    """Of the last of its results."""
    images: tuple[WithdrawnImage, ...]
    results: tuple[tuple[str, str, str], ...]
    """Series Instance UID, SOP Class UID and SOP Instance UID of each object, in the order they were made."""
    destinations: frozenset[str]
    """Those that have taken any of the objects."""


def withdrawn_study(session: Session, recall: Recall, study_id: int) -> WithdrawnStudy | None:
    """None where nothing of it is recalled, or no destination ever took an object of it."""
    predictions = session.scalars(
        select(Prediction)
        .join(Prediction.instance)
        .join(Instance.study)
        .join(Prediction.model_version)
        .where(*recall.conditions(), Prediction.recalled_at.is_not(None), Study.id == study_id)
        .order_by(Prediction.id)
        .options(
            contains_eager(Prediction.instance).contains_eager(Instance.study),
            contains_eager(Prediction.model_version),
            selectinload(Prediction.warnings),
            selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
            raiseload("*"),
        )
    ).all()
    objects = [each for prediction in predictions for each in prediction.result_objects if each.sop_class_uid]
    destinations = frozenset(
        delivery.destination for each in objects for delivery in each.deliveries if _has_arrived(delivery)
    )
    if not destinations:
        return None
    version, study = predictions[0].model_version, predictions[0].instance.study
    return WithdrawnStudy(
        study.id,
        study.study_instance_uid,
        model_identity(version),
        version.device_uid,
        max(prediction.recalled_at for prediction in predictions if prediction.recalled_at is not None),
        tuple(
            WithdrawnImage(row.instance.spool_name, analysis_of(row))
            for row in predictions
            if row.result_objects and row.instance.spool_name
        ),
        tuple((each.series_instance_uid, each.sop_class_uid, each.sop_instance_uid) for each in objects),
        destinations,
    )


def _has_arrived(delivery: Delivery) -> bool:
    """Once sent is enough: a requeued one is pending and still lies there."""
    return delivery.sent_at is not None or delivery.confirmed_at is not None


def send_known_note(
    session: Session, study: WithdrawnStudy, sop_instance_uid: str, destinations: Collection[str], actor: str
) -> list[str] | None:
    """The destinations that a note is sent to from now on, beside those that it was meant for; None for a new note."""
    lock_studies(session, [study.id])
    note = session.scalar(select(ResultObject).where(ResultObject.sop_instance_uid == sop_instance_uid))
    if note is None:
        return None
    has = set(session.scalars(select(Delivery.destination).where(Delivery.result_object_id == note.id)))
    at, further = now(), [name for name in destinations if name not in has]
    session.add_all(
        Delivery(result_object_id=note.id, destination=name, due_at=at, first_due_at=at) for name in further
    )
    if further:
        _record(session, study, sop_instance_uid, further, actor)
    return further


def keep_note(
    session: Session, study: WithdrawnStudy, note: BuiltObject, destinations: Collection[str], actor: str
) -> bool:
    """Keep a note, due at each destination now; False where another process was first."""
    lock_studies(session, [study.id])
    if session.scalar(select(ResultObject.id).where(ResultObject.sop_instance_uid == note.sop_instance_uid)):
        return False
    session.add(result_row(study.id, note, destinations, due_at=now()))
    _record(session, study, note.sop_instance_uid, destinations, actor)
    return True


def _record(
    session: Session, study: WithdrawnStudy, sop_instance_uid: str, destinations: Collection[str], actor: str
) -> None:
    record_event(
        session, "study.rejected", subject=study.study_instance_uid, actor=actor, device_uid=study.device_uid,
        note=sop_instance_uid, results=len(study.results), destinations=sorted(destinations),
    )  # fmt: skip
