"""Modalities' questions whether we have what they sent, and what we have of it (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.leases import is_due, mark_lost_messages, settle, take
from audit.models import CommitmentRequest, CommitmentState, Instance, ResultObject, Upload, now

_CLAIM_LOCK = 7_385_666  # of PostgreSQL's advisory locks; audit/model_versions.py has the number before it

# PS3.3 C.14.1.1, Failure Reason
NO_SUCH_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class CommitmentJob:
    """A claimed question."""

    id: int
    token: str
    attempts: int
    transaction_uid: str
    source: str
    calling_ae_title: str
    """Whoever asked, and is told."""
    called_ae_title: str
    references: tuple[Reference, ...]
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Holding:
    """What we have of the instances that were asked about."""

    held: tuple[Reference, ...]
    missing: tuple[tuple[str, str, int], ...]
    """SOP Class UID, SOP Instance UID and Failure Reason."""


def book_request(
    session: Session,
    *,
    transaction_uid: str,
    source: str,
    calling_ae_title: str,
    called_ae_title: str,
    references: Sequence[Reference],
    due_in_seconds: float = 0,
) -> CommitmentRequest:
    """Keep a question; one that is repeated is answered again."""
    due_at = now() + timedelta(seconds=due_in_seconds)
    listed: dict[str, Any] = {"instances": [list(reference) for reference in references]}
    request = session.scalar(
        select(CommitmentRequest)
        .where(CommitmentRequest.transaction_uid == transaction_uid, CommitmentRequest.source == source)
        .with_for_update()
    )
    if request is None:
        request = CommitmentRequest(transaction_uid=transaction_uid, source=source)
        session.add(request)
    request.calling_ae_title, request.called_ae_title = calling_ae_title, called_ae_title
    request.references, request.state, request.received_at = listed, CommitmentState.PENDING, now()
    request.due_at, request.attempts, request.woken_at = due_at, 0, None
    request.token = request.lease_until = request.last_error = request.answered_at = None
    session.flush()
    record_event(
        session, "commitment.requested", subject=transaction_uid, actor=calling_ae_title, instances=len(references)
    )
    return request


def look_up(session: Session, references: Sequence[Reference]) -> Holding:
    """What was erased we have no more; an upload is nobody's who asks."""
    uids = [sop_instance_uid for _, sop_instance_uid in references]
    known: dict[str, str] = {}
    uploaded = select(Upload.id).where(Upload.instance_id == Instance.id).exists()
    for table, ours in ((ResultObject, true()), (Instance, ~uploaded)):
        rows = session.execute(
            select(table.sop_instance_uid, table.sop_class_uid).where(
                table.sop_instance_uid.in_(uids), table.spool_name != "", ours
            )
        )
        known.update((sop_instance_uid, sop_class_uid) for sop_instance_uid, sop_class_uid in rows)
    held, missing = [], []
    for sop_class_uid, sop_instance_uid in references:
        match known.get(sop_instance_uid):
            case None:
                missing.append((sop_class_uid, sop_instance_uid, NO_SUCH_INSTANCE))
            case known_class if known_class == sop_class_uid:
                held.append((sop_class_uid, sop_instance_uid))
            case _:
                missing.append((sop_class_uid, sop_instance_uid, CLASS_INSTANCE_CONFLICT))
    return Holding(tuple(held), tuple(missing))


def claim_requests(session: Session, limit: int, lease_seconds: float) -> list[CommitmentJob]:
    """Up to ``limit`` due questions, all of one caller that nobody else is answering."""
    if session.get_bind().dialect.name == "postgresql":
        # As in claim_deliveries: two claims side by side cannot see each other's leases.
        session.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
    at = now()
    busy = select(CommitmentRequest.calling_ae_title).where(
        CommitmentRequest.state == CommitmentState.PENDING, CommitmentRequest.lease_until >= at
    )
    first = session.scalar(
        select(CommitmentRequest)
        .where(is_due(CommitmentRequest, at), CommitmentRequest.calling_ae_title.not_in(busy))
        .order_by(CommitmentRequest.due_at, CommitmentRequest.id)
        .limit(1)
    )
    if first is None:
        return []
    requests = session.scalars(
        select(CommitmentRequest)
        .where(
            is_due(CommitmentRequest, at),
            CommitmentRequest.source == first.source,
            CommitmentRequest.calling_ae_title == first.calling_ae_title,
        )
        .order_by(CommitmentRequest.due_at, CommitmentRequest.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    token = take(requests, lease_seconds)
    return [_claimed(request, token, at) for request in requests]


def _claimed(request: CommitmentRequest, token: str, at: datetime) -> CommitmentJob:
    return CommitmentJob(
        id=request.id,
        token=token,
        attempts=request.attempts,
        transaction_uid=request.transaction_uid,
        source=request.source,
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        references=tuple((sop_class, sop_instance) for sop_class, sop_instance in request.references["instances"]),
        age_seconds=(at - request.received_at).total_seconds(),
    )


def mark_answered(session: Session, job: CommitmentJob, holding: Holding) -> None:
    """The caller has taken our answer. Raises LeaseLost."""
    answered = {"state": CommitmentState.ANSWERED, "answered_at": now(), "last_error": None}
    settle(session, CommitmentRequest, job.id, job.token, **answered)
    _record_answer(session, job.transaction_uid, holding)


def mark_answered_at_once(session: Session, request_id: int, holding: Holding) -> None:
    """As ``mark_answered``, by the listener, on the association that asked."""
    request = session.get_one(CommitmentRequest, request_id, with_for_update=True)
    if request.state is not CommitmentState.ANSWERED:
        request.state, request.answered_at = CommitmentState.ANSWERED, now()
        request.token = request.lease_until = request.last_error = None
        _record_answer(session, request.transaction_uid, holding)


def mark_unanswerable(session: Session, job: CommitmentJob, code: str) -> None:
    """Repeating cannot help, or it was tried for long enough. Raises LeaseLost."""
    settle(session, CommitmentRequest, job.id, job.token, state=CommitmentState.DEAD, last_error=code)
    record_event(session, "commitment.dead", subject=job.transaction_uid, code=code, attempts=job.attempts)


def retry_answer(session: Session, job: CommitmentJob, code: str, pause_seconds: float) -> None:
    """Due again after a pause. Raises LeaseLost."""
    due_at = now() + timedelta(seconds=pause_seconds)
    settle(session, CommitmentRequest, job.id, job.token, due_at=due_at, last_error=code)


def mark_lost_requests(session: Session, message_life_seconds: float) -> int | None:
    """As ``audit.leases.mark_lost_messages``."""
    return mark_lost_messages(session, CommitmentRequest, message_life_seconds)


def _record_answer(session: Session, transaction_uid: str, holding: Holding) -> None:
    record_event(
        session, "commitment.answered", subject=transaction_uid, held=len(holding.held), missing=len(holding.missing)
    )
