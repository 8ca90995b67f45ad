"""Studies by the beginning of whatever stands on the paper in somebody's hand.

A handful of statements, however many studies there are; each page of them is the newest that fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session, raiseload

from audit.listing import PageKey
from audit.models import (
    Delivery,
    Instance,
    Job,
    JobState,
    Prediction,
    ResultObject,
    Role,
    Source,
    Study,
    UTCDateTime,
)
from core.records import DeliveryState, Outcome

WAITING = "waiting"
_FEW = 1000
_UID_CHARACTERS = frozenset("0123456789.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySearch:
    """All that are given must hold; None means any."""

    words: str = ""
    """The beginning of a Study or SOP Instance UID or, with ``patients``, of a Patient ID or accession number.

    The latter as they are written, or in capitals or small letters throughout.
    """
    patients: bool = False
    """Whether the caller may search by patient."""
    outcome: Outcome | None = None
    waiting: bool = False
    """Studies with an image that has no outcome yet."""
    source: str | None = None
    received_from: datetime | None = None
    delivery: DeliveryState | None = None


@dataclass(slots=True)
class FoundStudy:
    study: Study
    sources: list[str] = field(default_factory=list)
    images: int = 0
    waiting: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """Of answers that stand."""
    highest_probability: float | None = None
    deliveries: Counter[DeliveryState] = field(default_factory=Counter)


def search_studies(
    session: Session, chosen: StudySearch, *, limit: int, after: PageKey | None = None
) -> list[FoundStudy]:
    """Newest first; ``after`` is ``last_received_at`` and id of the last one of the page before."""
    statement = select(Study).options(raiseload("*")).where(*_conditions(session, chosen))
    if after is not None:
        place = tuple_(literal(after[0], UTCDateTime()), literal(after[1]))
        statement = statement.where(tuple_(Study.last_received_at, Study.id) < place)
    newest_first = statement.order_by(Study.last_received_at.desc(), Study.id.desc()).limit(limit)
    found = {study.id: FoundStudy(study) for study in session.scalars(newest_first)}
    if found:
        _count_images(session, found)
        _count_outcomes(session, found)
        _count_deliveries(session, found)
    return list(found.values())


def _conditions(session: Session, chosen: StudySearch) -> Iterator[ColumnElement[bool]]:
    if chosen.words:
        yield _named(session, chosen.words, patients=chosen.patients)
    if chosen.received_from is not None:
        yield Study.last_received_at >= chosen.received_from
    images = select(Instance.study_id)
    if chosen.outcome is not None:
        judged = images.join(Instance.predictions).where(Prediction.outcome == chosen.outcome, *_standing())
        yield Study.id.in_(judged)
    if chosen.waiting:
        yield Study.id.in_(images.join(Instance.job).where(Job.state == JobState.PENDING))
    if chosen.source is not None:
        came_from = select(Source.id).where(Source.name == chosen.source).scalar_subquery()
        yield exists().where(Instance.study_id == Study.id, Instance.source_id == came_from)
    if chosen.delivery is not None:
        yield exists().where(
            ResultObject.study_id == Study.id,
            Delivery.result_object_id == ResultObject.id,
            Delivery.state == chosen.delivery,
        )


def _named(session: Session, words: str, *, patients: bool) -> ColumnElement[bool]:
    """Of what begins so. An image that came under another patient than its study is found as well."""
    images, choices = select(Instance.study_id), []
    if set(words) <= _UID_CHARACTERS:
        whole = _by_whole_uid(words)
        if session.scalar(whole.limit(1)) is not None:
            return Study.id.in_(whole)
        choices += [
            Study.study_instance_uid.startswith(words, autoescape=True),
            Study.id.in_(images.where(Instance.sop_instance_uid.startswith(words, autoescape=True))),
        ]
    if patients:
        choices += [
            *(
                column.startswith(written, autoescape=True)
                for column in (Study.patient_id, Study.accession_number)
                for written in sorted({words, words.upper(), words.lower()})  # several times as fast as ILIKE
            ),
            Study.id.in_(images.where(Instance.patient_id == words)),
        ]
    named = or_(literal(value=False), *choices)
    found = session.scalars(select(Study.id).where(named).limit(_FEW)).all()
    # Where few are meant, the table is read once to find them; where many are, any page of them is full at once.
    return Study.id.in_(found) if len(found) < _FEW else named


def _by_whole_uid(uid: str) -> Select[int]:
    """Ids of the study, or that of the image or result, of this UID: found by indices, where beginnings are not."""
    studies = select(Study.id).where(Study.study_instance_uid == uid)
    images = select(Instance.study_id).where(Instance.sop_instance_uid == uid)
    results = select(ResultObject.study_id).where(ResultObject.sop_instance_uid == uid)
    return select(studies.union_all(images, results).subquery().c.id)


def _standing() -> tuple[ColumnElement[bool], ...]:
    return Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None)


def _count_images(session: Session, found: dict[int, FoundStudy]) -> None:
    counted = (
        select(Instance.study_id, Source.name, func.count(), func.count().filter(Job.state == JobState.PENDING))
        .join(Instance.source)
        .join(Instance.job)
        .where(Instance.study_id.in_(found))
        .group_by(Instance.study_id, Source.name)
        .order_by(Source.name)
    )
    for study_id, source, images, waiting in session.execute(counted):
        study = found[study_id]
        study.sources.append(source)
        study.images += images
        study.waiting += waiting


def _count_outcomes(session: Session, found: dict[int, FoundStudy]) -> None:
    counted = (
        select(Instance.study_id, Prediction.outcome, func.count(), func.max(Prediction.probability))
        .join(Prediction.instance)
        .where(Instance.study_id.in_(found), *_standing())
        .group_by(Instance.study_id, Prediction.outcome)
    )
    for study_id, outcome, count, highest in session.execute(counted):
        study = found[study_id]
        study.outcomes[outcome] += count
        if highest is not None:
            study.highest_probability = max(highest, study.highest_probability or 0.0)


def _count_deliveries(session: Session, found: dict[int, FoundStudy]) -> None:
    counted = (
        select(ResultObject.study_id, Delivery.state, func.count())
        .join(Delivery.result_object)
        .where(ResultObject.study_id.in_(found))
        .group_by(ResultObject.study_id, Delivery.state)
    )
    for study_id, state, count in session.execute(counted):
        found[study_id].deliveries[state] += count


def known_sources(session: Session) -> list[str]:
    """Names of the sources that have sent something."""
    return list(session.scalars(select(Source.name).order_by(Source.name)))


def image_of_prediction(session: Session, prediction_id: int) -> tuple[str, str] | None:
    """UIDs of the study and of the image that a prediction is about; None where there is no such prediction."""
    of_both = select(Study.study_instance_uid, Instance.sop_instance_uid).join(Study.instances)
    row = session.execute(of_both.join(Instance.predictions).where(Prediction.id == prediction_id)).one_or_none()
    return None if row is None else (row.study_instance_uid, row.sop_instance_uid)


def study_of_instance(session: Session, sop_instance_uid: str) -> str | None:
    """UID of the study that an image belongs to; None where no such image was received."""
    return session.scalar(
        select(Study.study_instance_uid).join(Study.instances).where(Instance.sop_instance_uid == sop_instance_uid)
    )
