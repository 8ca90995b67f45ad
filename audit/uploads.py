"""The prediction service's side of the books: an uploaded image becomes an instance of its own and a job.

An upload never meets what the PACS sends: its UIDs are made here, its study is closed from the start, so nothing is
delivered, and it is offered to nobody by DICOM. The same upload of the same caller is the same instance. Callers do not
share instances: the time an answer takes would tell one what another has uploaded.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, joinedload, raiseload, selectinload

from audit.events import record_event
from audit.intake import arrival
from audit.models import (
    Instance,
    Job,
    JobState,
    ModelVersion,
    Prediction,
    Priority,
    Role,
    Source,
    Study,
    Upload,
    now,
)

SOURCE = "api"
"""Reserved: no configured source may have this name."""
_DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"  # what a worker makes of a JPEG or PNG
_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_BOOKING_LOCK = 7_385_667  # of PostgreSQL's advisory locks; audit/commitments.py has the number before it


@dataclass(frozen=True, slots=True)
class GivenImage:
    """An image that has been checked, and what is said of it. The second half is a DICOM file's own."""

    principal: str
    peer_address: str
    content_sha256: str
    size_bytes: int
    media_type: str
    columns: int
    rows: int
    use_tta: bool
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)
    modality: str = "DX"
    sop_class_uid: str = _DX_FOR_PRESENTATION
    transfer_syntax_uid: str = _EXPLICIT_VR_LITTLE_ENDIAN
    original_sop_instance_uid: str = ""
    original_study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What led to a job, for the worker's log and trace."""

    id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class BookedUpload:
    instance_id: int
    sop_instance_uid: str
    job_id: int
    is_new: bool
    """The spooled file is this row's; else there was one, and the file may go."""


@dataclass(frozen=True, slots=True)
class Asked:
    prediction_id: int | None
    """The answer that stands already; None where the job is due, and whoever works on jobs may be woken."""


def find_upload(session: Session, given: GivenImage) -> BookedUpload | None:
    """The same image, given before by the same caller for the same patient."""
    row = session.execute(
        select(Instance.id, Instance.sop_instance_uid, Job.id)
        .join(Instance.upload)
        .join(Instance.study)
        .join(Job, Job.instance_id == Instance.id)
        .where(*_same(given))
        .order_by(Instance.id)
        .limit(1)
    ).first()
    return None if row is None else BookedUpload(*row, is_new=False)


def _same(given: GivenImage) -> Iterator[ColumnElement[bool]]:
    yield Upload.content_sha256 == given.content_sha256
    yield Upload.principal == given.principal
    yield Upload.use_tta == given.use_tta
    yield Instance.patient_id == given.patient_id
    yield Instance.issuer_of_patient_id == given.issuer_of_patient_id
    yield Study.erased_at.is_(None)


def book_upload(session: Session, given: GivenImage, spool_name: str, request: Request) -> BookedUpload:
    """Write what was given. The caller commits, then wakes a worker."""
    _lock(session, given)
    if (known := find_upload(session, given)) is not None:
        return known
    at = now()
    instance = Instance(
        study=Study(
            study_instance_uid=_uid(),
            patient_id=given.patient_id,
            issuer_of_patient_id=given.issuer_of_patient_id,
            accession_number=given.accession_number,
            study_date=given.study_date,
            first_received_at=at,
            last_received_at=at,
            reported_at=at,  # closed from the start: nothing of it is let go
            concluded_at=at,
        ),
        source=_source(session),
        sop_instance_uid=_uid(),
        sop_class_uid=given.sop_class_uid,
        series_instance_uid=_uid(),
        transfer_syntax_uid=given.transfer_syntax_uid,
        modality=given.modality,
        patient_id=given.patient_id,
        issuer_of_patient_id=given.issuer_of_patient_id,
        calling_ae_title="",
        called_ae_title="",
        peer_address=given.peer_address,
        spool_name=spool_name,
        sha256=given.content_sha256,
        size_bytes=given.size_bytes,
        media_type=given.media_type,
        received_at=at,
        upload=Upload(
            content_sha256=given.content_sha256,
            use_tta=given.use_tta,
            principal=given.principal,
            columns=given.columns,
            rows=given.rows,
            original_sop_instance_uid=given.original_sop_instance_uid,
            original_study_instance_uid=given.original_study_instance_uid,
        ),
    )
    job = Job(
        instance=instance,
        due_at=at,
        woken_at=at,
        priority=Priority.SOMEONE_WAITS,
        request_id=request.id or None,
        traceparent=request.traceparent or None,
    )
    session.add(job)
    record_event(
        session,
        "upload.received",
        subject=instance.sop_instance_uid,
        actor=given.principal,
        address=given.peer_address,
        sha256=given.content_sha256,
        media_type=given.media_type,
        **arrival(instance),
    )
    session.flush()
    return BookedUpload(instance.id, instance.sop_instance_uid, job.id, is_new=True)


def ask(session: Session, job_id: int, device_uid: str | None, request: Request) -> Asked:
    """Make the job of an upload due, unless it is or its answer stands.

    Args:
        device_uid: of the model whose answer is wanted; None where no model is in charge, and the last answer serves.

    An answer "failed" stands as well: the image would take the next worker as far as the last one.
    """
    job = session.get_one(Job, job_id, with_for_update=True)
    if job.state is JobState.PENDING:
        job.priority = Priority.SOMEONE_WAITS
        return Asked(None)
    answers = _answers_by(session, job.instance_id, device_uid)
    if standing := [prediction_id for prediction_id, recalled_at in answers if recalled_at is None]:
        return Asked(max(standing))
    if device_uid is not None and answers:  # the same model's, withdrawn by now: to be told apart from it
        job.generation += 1
    at = now()
    job.state, job.priority, job.due_at, job.woken_at = JobState.PENDING, Priority.SOMEONE_WAITS, at, at
    job.created_at, job.finished_at, job.attempts, job.last_error = at, None, 0, None
    job.request_id, job.traceparent = request.id or None, request.traceparent or None
    return Asked(None)


def find_answer(session: Session, instance_id: int, prediction_id: int | None = None) -> Prediction | None:
    """This answer, or the newest that stands, with all that is told of it."""
    statement = (
        select(Prediction)
        .where(Prediction.instance_id == instance_id, Prediction.role == Role.ACTIVE, Prediction.recalled_at.is_(None))
        .order_by(Prediction.id.desc())
        .limit(1)
        .options(
            joinedload(Prediction.model_version, innerjoin=True),
            joinedload(Prediction.instance, innerjoin=True).joinedload(Instance.upload),
            selectinload(Prediction.warnings),
        )
    )
    if prediction_id is not None:
        statement = statement.where(Prediction.id == prediction_id)
    return session.scalar(statement)


def finished_jobs(session: Session, job_ids: Collection[int]) -> set[int]:
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state == JobState.DONE)))


def upload_of(session: Session, sop_instance_uid: str, principal: str) -> BookedUpload | None:
    """What this caller has uploaded, by the UID it was told."""
    row = session.execute(
        select(Instance.id, Instance.sop_instance_uid, Job.id)
        .join(Instance.upload)
        .join(Job, Job.instance_id == Instance.id)
        .where(Instance.sop_instance_uid == sop_instance_uid, Upload.principal == principal)
    ).first()
    return None if row is None else BookedUpload(*row, is_new=False)


def patients_of(session: Session, sop_instance_uids: Collection[str]) -> dict[str, str]:
    """Patient IDs by SOP Instance UID, as they are known now."""
    rows = select(Instance).where(Instance.sop_instance_uid.in_(sop_instance_uids)).options(raiseload("*"))
    return {row.sop_instance_uid: row.patient_id for row in session.scalars(rows)}


def record_answer(
    session: Session, prediction: Prediction, *, actor: str, address: str, cached: bool, seconds: float
) -> None:
    """Who was told what was said of an upload."""
    record_event(
        session,
        "prediction.served",
        subject=prediction.instance.sop_instance_uid,
        actor=actor,
        address=address,
        prediction=prediction.id,
        outcome=prediction.outcome,
        cached=cached,
        seconds=round(seconds, 3),
    )


def _answers_by(session: Session, instance_id: int, device_uid: str | None) -> list[tuple[int, datetime | None]]:
    """Ids, and when each was withdrawn; None for one that stands."""
    statement = (
        select(Prediction.id, Prediction.recalled_at)
        .join(Prediction.model_version)
        .where(Prediction.instance_id == instance_id, Prediction.role == Role.ACTIVE)
    )
    if device_uid is not None:
        statement = statement.where(ModelVersion.device_uid == device_uid)
    return [(row.id, row.recalled_at) for row in session.execute(statement)]


def _lock(session: Session, given: GivenImage) -> None:
    """Of two who give the same image at once, the second finds the first one's row; SQLite locks by itself."""
    if session.get_bind().dialect.name == "postgresql":
        key = int(given.content_sha256[:8], 16) - 2**31
        session.execute(select(func.pg_advisory_xact_lock(_BOOKING_LOCK, key)))


def _source(session: Session) -> Source:
    known = select(Source).where(Source.name == SOURCE)
    if session.scalar(known) is None:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(insert(Source).values(name=SOURCE, first_seen_at=now()).on_conflict_do_nothing())
    source = session.scalars(known).one()
    source.last_seen_at = now()
    return source


def _uid() -> str:
    """A random one (PS3.5 B.2). One derived from the patient's ID could be led back to it by trying all IDs."""
    return f"2.25.{uuid.uuid4().int}"
