"""The listener's side of the books: a received image becomes an instance and a job in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from audit.chain import moment
from audit.events import record_event
from audit.models import Instance, Job, JobState, Prediction, ResultObject, Role, Source, Study, now
from core.records import ReceivedInstance
from core.tracing import traceparent


class Receipt(StrEnum):
    NEW = "new"
    DUPLICATE = "duplicate"
    """Same UID, same bytes: nothing was changed, the file may go."""
    CONFLICT = "conflict"
    """Same UID, other bytes: an event names the file, which is kept aside."""
    OWN_RESULT = "own_result"
    """One of our results coming back: the file may go."""


@dataclass(frozen=True, slots=True)
class Booked:
    receipt: Receipt
    job_id: int | None = None


def book_instance(session: Session, received: ReceivedInstance) -> Booked:
    """Write what has arrived. The caller commits, then answers Success, then sends the wake-up.

    Two associations may bring the same UID at once; the loser of the race gets an IntegrityError on commit and books
    again, which then finds the winner's row.
    """
    if session.scalar(select(ResultObject.id).where(ResultObject.sop_instance_uid == received.sop_instance_uid)):
        record_event(session, "own_result.returned", subject=received.sop_instance_uid, actor=received.calling_ae_title)
        return Booked(Receipt.OWN_RESULT)

    known = session.scalar(select(Instance).where(Instance.sop_instance_uid == received.sop_instance_uid))
    if known is not None and not known.spool_name:
        at = now()
        study = _study(session, received, at)
        session.refresh(known)  # with the study in our hands: another association may have brought it back
        if not known.spool_name:
            return Booked(Receipt.NEW, _book_again(session, received, study, known, at))
    if known is not None and known.sha256 == received.sha256:
        return Booked(Receipt.DUPLICATE)
    if known is not None:
        record_event(
            session,
            "instance.conflict",
            subject=received.sop_instance_uid,
            actor=received.calling_ae_title,
            spool_name=received.spool_name,
            sha256=received.sha256,
            sha256_of_first=known.sha256,
        )
        return Booked(Receipt.CONFLICT)
    return Booked(Receipt.NEW, _book_new(session, received))


def _book_new(session: Session, received: ReceivedInstance) -> int:
    at = now()
    study = _open(session, received, _study(session, received, at), at)
    if (study.patient_id, study.issuer_of_patient_id) != (received.patient_id, received.issuer_of_patient_id):
        record_event(
            session,
            "study.patient_conflict",
            subject=received.study_instance_uid,
            actor=received.calling_ae_title,
            sop_instance_uid=received.sop_instance_uid,
        )
    instance = Instance(
        study=study,
        source=_source(session, received, at),
        sop_instance_uid=received.sop_instance_uid,
        sop_class_uid=received.sop_class_uid,
        series_instance_uid=received.series_instance_uid,
        transfer_syntax_uid=received.transfer_syntax_uid,
        modality=received.modality,
        patient_id=received.patient_id,
        issuer_of_patient_id=received.issuer_of_patient_id,
        calling_ae_title=received.calling_ae_title,
        called_ae_title=received.called_ae_title,
        peer_address=received.peer_address,
        spool_name=received.spool_name,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        received_at=at,
    )
    job = Job(instance=instance, due_at=at, woken_at=at, traceparent=traceparent() or None)
    session.add(job)
    record_event(
        session, "instance.received", subject=received.sop_instance_uid, actor=received.calling_ae_title,
        sha256=received.sha256, **arrival(instance),
    )  # fmt: skip
    session.flush()
    return job.id


def _book_again(session: Session, received: ReceivedInstance, study: Study, instance: Instance, at: datetime) -> int:
    """An image that was erased and comes once more, with whatever bytes, is new work.

    Its row and what was said of it then are still there; that is withdrawn, so that another answer can stand.
    """
    _open(session, received, study, at)
    for name in (
        "sop_class_uid", "series_instance_uid", "transfer_syntax_uid", "modality", "patient_id",
        "issuer_of_patient_id", "calling_ae_title", "called_ae_title", "peer_address", "spool_name", "sha256",
        "size_bytes",
    ):  # fmt: skip
        setattr(instance, name, getattr(received, name))
    instance.study, instance.source, instance.received_at = study, _source(session, received, at), at
    withdrawn = session.scalars(
        update(Prediction)
        .where(Prediction.instance_id == instance.id, Prediction.recalled_at.is_(None), Prediction.role == Role.ACTIVE)
        .values(recalled_at=at)
        .returning(Prediction.id)
        .execution_options(synchronize_session=False)
    ).all()
    job = session.scalars(select(Job).where(Job.instance_id == instance.id).with_for_update()).one()
    job.state, job.generation, job.attempts = JobState.PENDING, job.generation + 1, 0
    job.created_at, job.finished_at, job.due_at, job.woken_at, job.last_error = at, None, at, at, None
    job.request_id, job.traceparent = None, traceparent() or None
    record_event(
        session, "instance.received", subject=received.sop_instance_uid, actor=received.calling_ae_title,
        sha256=received.sha256, **arrival(instance), after_erasure=True, withdrawn=sorted(withdrawn),
    )  # fmt: skip
    return job.id


def arrival(instance: Instance) -> dict[str, str]:
    """Of its row, what the event of an image's reception says, beside the caller and the digest."""
    return {
        "study": instance.study.study_instance_uid,
        "series": instance.series_instance_uid,
        "source": instance.source.name,
        "received_at": moment(instance.received_at),
    }


def _open(session: Session, received: ReceivedInstance, study: Study, at: datetime) -> Study:
    """Something of it has arrived: it may grow, and one that was erased is its patient's again."""
    study.last_received_at = max(study.last_received_at, at)  # another association may be ahead of us
    study.reported_at = study.concluded_at = None
    if study.erased_at is not None:
        study.erased_at = None
        study.patient_id, study.issuer_of_patient_id = received.patient_id, received.issuer_of_patient_id
        study.accession_number, study.study_date = received.accession_number, received.study_date
        record_event(session, "study.returned", subject=received.study_instance_uid, actor=received.calling_ae_title)
    return study


def _source(session: Session, received: ReceivedInstance, at: datetime) -> Source:
    source = session.scalar(select(Source).where(Source.name == received.source))
    if source is None:
        source = Source(name=received.source, first_seen_at=at)
        session.add(source)
    source.last_seen_at = at
    return source


def _study(session: Session, received: ReceivedInstance, at: datetime) -> Study:
    study = session.scalar(
        select(Study).where(Study.study_instance_uid == received.study_instance_uid).with_for_update()
    )
    if study is None:
        study = Study(
            study_instance_uid=received.study_instance_uid,
            patient_id=received.patient_id,
            issuer_of_patient_id=received.issuer_of_patient_id,
            accession_number=received.accession_number,
            study_date=received.study_date,
            first_received_at=at,
            last_received_at=at,
        )
        session.add(study)
    return study
