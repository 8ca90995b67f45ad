"""Erasing what tells of patients, a study at a time: its files, its identifiers, what readers wrote.

What was predicted, delivered and done stays: those rows and events hold nothing of a patient. A study's rows are
changed first, in one transaction that also notes which files have to go; then the files go. Whatever is interrupted is
made good by the next call, and no file goes that a row still names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from audit.deliveries import ERASED, is_dead_letter
from audit.events import record_event
from audit.models import (
    AuditEvent,
    Delivery,
    ErasedFile,
    Feedback,
    Instance,
    Job,
    JobState,
    Picture,
    Prediction,
    ResultObject,
    Study,
    now,
)
from audit.recalls import change
from audit.session import Database
from core.logs import describe, get_logger
from core.records import DeliveryState
from core.spool import Spool

log = get_logger("retention")

Chosen = Select[int]
"""Ids of studies."""
STUDIES_AT_ONCE = 200
_FILES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased, or would be. Files but for studies and comments."""

    studies: int = 0
    images: int = 0
    results: int = 0
    pictures: int = 0
    kept_aside: int = 0
    """Files that came under the UID of one of the images, with other bytes."""
    comments: int = 0
    unfinished: int = 0
    """Studies left as they are, since something of them is still to be analysed, sent or confirmed."""

    def __add__(self, other: Erased) -> Erased:
        return Erased(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Patient:
    patient_id: str
    issuer: str | None = None
    """None for whichever there is."""


def studies_before(moment: datetime) -> Chosen:
    """Studies of which nothing has arrived since, and of which there is something to erase."""
    return select(Study.id).where(Study.last_received_at < moment, _is_to_erase()).order_by(Study.id)


def studies_of_patient(patient: Patient) -> Chosen:
    """Studies known under the patient, and of those one of whose images names the patient."""
    theirs = or_(_names(Study, patient), exists().where(Instance.study_id == Study.id, _names(Instance, patient)))
    return select(Study.id).where(theirs, Study.erased_at.is_(None)).order_by(Study.id)


def issuers_of(session: Session, patient_id: str) -> list[str]:
    """Under whom this Patient ID is known: the same ID of two issuers is two patients."""
    found: set[str] = set()
    for table in (Study, Instance):
        issuers = select(table.issuer_of_patient_id).where(table.patient_id == patient_id).distinct()
        found.update(session.scalars(issuers))
    return sorted(found)


def _names(table: type[Study | Instance], patient: Patient) -> ColumnElement[bool]:
    is_patient = table.patient_id == patient.patient_id
    return is_patient if patient.issuer is None else is_patient & (table.issuer_of_patient_id == patient.issuer)


def count_erasable(session: Session, studies: Chosen) -> Erased:
    """What ``erase_studies`` would do to all of them."""
    chosen = studies.order_by(None)
    ready = chosen.where(~_is_unfinished())
    unfinished = _count(session, select(func.count()).select_from(chosen.where(_is_unfinished()).subquery()))
    counts = {what: _count(session, select(func.count()).select_from(found.subquery()))
              for what, found in _traces(ready).items()}  # fmt: skip
    return Erased(_count(session, select(func.count()).select_from(ready.subquery())), **counts, unfinished=unfinished)


def _traces(studies: Chosen | Sequence[int]) -> dict[str, Select[int, str]]:
    """What there is of these studies: the study's id, and the file where it is one."""
    of_image = select(Instance.study_id)
    conflicts = select(Instance.study_id, AuditEvent.data["spool_name"].as_string())
    return {
        "images": select(Instance.study_id, Instance.spool_name).where(
            Instance.study_id.in_(studies), Instance.spool_name != ""
        ),
        "results": select(ResultObject.study_id, ResultObject.spool_name).where(
            ResultObject.study_id.in_(studies), ResultObject.spool_name != ""
        ),
        "pictures": of_image.add_columns(Picture.spool_name)
        .join(Instance.predictions)
        .join(Prediction.pictures)
        .where(Instance.study_id.in_(studies)),
        "kept_aside": conflicts.join(AuditEvent, AuditEvent.subject == Instance.sop_instance_uid).where(
            AuditEvent.kind == "instance.conflict", Instance.study_id.in_(studies)
        ),
        "comments": of_image.add_columns(Feedback.reader)
        .join(Instance.predictions)
        .join(Prediction.feedback)
        .where(Instance.study_id.in_(studies), Feedback.comment != ""),
    }


def _count(session: Session, statement: Select[int]) -> int:
    return session.scalars(statement).one()


def _is_to_erase() -> ColumnElement[bool]:
    """Not erased yet; or a reader has written something since, which is refused nowadays."""
    commented = (
        select(Instance.study_id).join(Instance.predictions).join(Prediction.feedback).where(Feedback.comment != "")
    )
    return Study.erased_at.is_(None) | Study.id.in_(commented)


def _is_unfinished() -> ColumnElement[bool]:
    """Each of these ends by itself within the days that deliveries are tried and asked for."""
    pending_job = exists().where(
        Instance.study_id == Study.id, Job.instance_id == Instance.id, Job.state == JobState.PENDING
    )
    open_delivery = exists().where(
        ResultObject.study_id == Study.id,
        Delivery.result_object_id == ResultObject.id,
        or_(
            Delivery.state == DeliveryState.PENDING,
            and_(Delivery.state == DeliveryState.SENT, Delivery.confirm_at.is_not(None)),
        ),
    )
    return or_(Study.reported_at.is_(None), Study.concluded_at.is_(None), pending_job, open_delivery)


def erase_studies(session: Session, study_ids: Sequence[int], *, actor: str, why: str) -> Erased:
    """Erase the rows of some hundred studies, and note their files; call ``remove_files`` after the commit.

    A study of which something is unfinished is left alone. Locked here are jobs, studies and deliveries, jobs first as
    whoever finishes one locks them, so nothing can be made due meanwhile.

    Args:
        why: ``retention`` or ``request``, for the event of each study.
    """
    jobs = select(Job.id).join(Job.instance).where(Instance.study_id.in_(study_ids)).order_by(Job.id)
    session.scalars(jobs.with_for_update(of=Job)).all()
    locked = select(Study.id).where(Study.id.in_(study_ids)).order_by(Study.id)
    session.scalars(locked.with_for_update()).all()
    ids = session.scalars(locked.where(_is_to_erase())).all()
    deliveries = select(Delivery.id).join(Delivery.result_object).where(ResultObject.study_id.in_(ids))
    session.scalars(deliveries.order_by(Delivery.id).with_for_update(of=Delivery)).all()

    ready = select(Study.id, Study.study_instance_uid).where(Study.id.in_(ids), ~_is_unfinished()).order_by(Study.id)
    uids = dict(session.execute(ready).all())
    counts: dict[str, Counter[int]] = {}
    for what, found in _traces(list(uids)).items():
        rows = session.execute(found).all()
        counts[what] = Counter(study_id for study_id, _ in rows)
        if what != "comments" and rows:
            session.execute(insert(ErasedFile), [{"spool_name": spool_name} for _, spool_name in rows])
    _blank(session, list(uids))
    for study_id, uid in uids.items():
        of_study = {what: counter[study_id] for what, counter in counts.items()}
        record_event(session, "study.erased", subject=uid, actor=actor, why=why, **of_study)
    totals = {what: counter.total() for what, counter in counts.items()}
    return Erased(studies=len(uids), **totals, unfinished=len(ids) - len(uids))


def _blank(session: Session, ids: Sequence[int]) -> None:
    predictions = select(Prediction.id).join(Prediction.instance).where(Instance.study_id.in_(ids))
    of_theirs = Feedback.prediction_id.in_(predictions)
    change(session, update(Feedback).where(of_theirs, Feedback.comment != ""), comment="")
    session.execute(
        delete(Picture).where(Picture.prediction_id.in_(predictions)).execution_options(synchronize_session=False)
    )
    results = select(ResultObject.id).where(ResultObject.study_id.in_(ids))
    change(session, update(ResultObject).where(ResultObject.id.in_(results)), spool_name="")
    # Nobody can send them again.
    change(session, update(Delivery).where(Delivery.result_object_id.in_(results), is_dead_letter()), last_error=ERASED)
    nobody = {"patient_id": "", "issuer_of_patient_id": ""}
    change(session, update(Instance).where(Instance.study_id.in_(ids)), spool_name="", **nobody)
    change(
        session, update(Study).where(Study.id.in_(ids)), accession_number="", study_date="", erased_at=now(), **nobody
    )


def remove_files(database: Database, spool: Spool) -> tuple[int, int]:
    """Take the files of erased studies out of the spool, those left by an interrupted call as well.

    Returns how many are gone, and how many could not be removed and are left for the next call.
    """
    gone = left = last = 0
    while True:
        with database.read() as session:
            statement = select(ErasedFile.id, ErasedFile.spool_name).where(ErasedFile.id > last)
            rows = session.execute(statement.order_by(ErasedFile.id).limit(_FILES_AT_ONCE)).all()
        if not rows:
            return gone, left
        last = rows[-1].id
        removed = [row_id for row_id, spool_name in rows if _is_removed(spool, spool_name)]
        with database.write() as session:
            session.execute(delete(ErasedFile).where(ErasedFile.id.in_(removed)))
        gone, left = gone + len(removed), left + len(rows) - len(removed)


def _is_removed(spool: Spool, spool_name: str) -> bool:
    try:
        spool.release(spool_name)
    except OSError as exc:
        log.error("file_not_erased", spool_name=spool_name, **describe(exc))
        return False
    return True
