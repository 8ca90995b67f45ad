"""Whether destinations have what they took: ``sent`` becomes ``confirmed``, or is sent again."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session, contains_eager, joinedload

from audit.deliveries import RECALLED
from audit.events import record_event
from audit.models import Delivery, ResultObject, now
from core.destinations import Confirming
from core.errors import LeaseLost
from core.records import DeliveryState

_CLAIM_LOCK = 7_385_667  # of PostgreSQL's advisory locks; audit/commitments.py has the number before it

# PS3.3 C.14.1.1, Failure Reason
_NO_SUCH_INSTANCE = 0x0112
_NEVER = (0x0119, 0x0122)
"""Class/instance conflict, SOP class not supported: asking again has the same answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """A claimed row of the delivery table: does the destination have this object?"""

    id: int
    token: str
    destination: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


def _is_due(at: datetime) -> ColumnElement[bool]:
    return and_(
        Delivery.state == DeliveryState.SENT,
        Delivery.confirm_at <= at,
        or_(Delivery.lease_until.is_(None), Delivery.lease_until < at),
    )


def claim_questions(session: Session, limit: int, lease_seconds: float) -> list[Question]:
    """Up to ``limit`` deliveries that a destination is to be asked about, all of one that nobody else is asking."""
    if session.get_bind().dialect.name == "postgresql":
        # As in claim_deliveries: two claims side by side cannot see each other's leases.
        session.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
    at = now()
    asked = select(Delivery.destination).where(
        Delivery.state == DeliveryState.SENT, Delivery.confirm_at.is_not(None), Delivery.lease_until >= at
    )
    first = session.scalar(
        select(Delivery.destination)
        .where(_is_due(at), Delivery.destination.not_in(asked))
        .order_by(Delivery.confirm_at, Delivery.id)
        .limit(1)
    )
    if first is None:
        return []
    deliveries = session.scalars(
        select(Delivery)
        .where(_is_due(at), Delivery.destination == first)
        .order_by(Delivery.confirm_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Delivery)
        .join(Delivery.result_object)
        .join(ResultObject.study)
        .options(contains_eager(Delivery.result_object).contains_eager(ResultObject.study))
    ).all()
    token, until = uuid.uuid4().hex, at + timedelta(seconds=lease_seconds)
    for delivery in deliveries:
        delivery.token, delivery.lease_until = token, until
    return [_question(delivery, token) for delivery in deliveries]


def _question(delivery: Delivery, token: str) -> Question:
    about = delivery.result_object
    return Question(
        id=delivery.id,
        token=token,
        destination=delivery.destination,
        sop_class_uid=about.sop_class_uid,
        sop_instance_uid=about.sop_instance_uid,
        series_instance_uid=about.series_instance_uid,
        study_instance_uid=about.study.study_instance_uid,
    )


def note_transaction(session: Session, questions: Sequence[Question], transaction_uid: str) -> list[Question]:
    """Before storage commitment is asked for, since its report may be faster than we are. Returns those still held."""
    statement = (
        update(Delivery)
        .where(
            Delivery.id.in_([question.id for question in questions]),
            Delivery.token == questions[0].token,
            Delivery.state == DeliveryState.SENT,
        )
        .values(transaction_uid=transaction_uid)
        .returning(Delivery.id)
    )
    held = set(session.scalars(statement))
    return [question for question in questions if question.id in held]


def confirm(session: Session, question: Question) -> None:
    """The destination has it. Raises LeaseLost."""
    _confirm(session, _held(session, question))


def absent(session: Session, question: Question, destination: Confirming) -> None:
    """The destination does not have it: sent again, unless it was recalled, at most ``most_repeats`` times.

    Raises LeaseLost.
    """
    _absent(session, _held(session, question), destination)


def unknown(session: Session, question: Question, destination: Confirming, code: str | None) -> None:
    """No answer yet: asked again after as long as it has been waited for, until it was waited for long enough.

    ``code`` says what was in the way; None where the answer is to come by itself. Raises LeaseLost.
    """
    _unknown(session, _held(session, question), destination, code)


def stop_asking(session: Session, question: Question) -> None:
    """The destination is not asked any more. Raises LeaseLost."""
    _end(_held(session, question), confirm_at=None)


def settle_commitment(
    session: Session,
    transaction_uid: str,
    committed: Collection[str],
    failed: Mapping[str, int],
    destinations: Mapping[str, Confirming],
) -> bool:
    """Take a report of storage commitment in, at any time and any number of times.

    Args:
        committed: SOP Instance UIDs.
        failed: Failure Reason (PS3.3 C.14.1.1) by SOP Instance UID.
        destinations: those that whoever reports can speak for, by name.

    Returns:
        Whether the transaction is one of theirs.
    """
    rows = session.scalars(
        select(Delivery)
        .where(Delivery.transaction_uid == transaction_uid, Delivery.destination.in_(list(destinations)))
        .order_by(Delivery.id)
        .with_for_update(of=Delivery)
        .options(joinedload(Delivery.result_object, innerjoin=True))
    ).all()
    for row in rows:
        sop_instance_uid, destination = row.result_object.sop_instance_uid, destinations[row.destination]
        if row.state is not DeliveryState.SENT:
            continue  # reported before
        if sop_instance_uid in committed:
            _confirm(session, row)
        elif (reason := failed.get(sop_instance_uid)) == _NO_SUCH_INSTANCE:
            _absent(session, row, destination)
        elif reason is None or row.confirm_at is None:
            continue  # not said, or given up already
        elif reason in _NEVER:
            _unconfirmed(session, row, reason)
        else:
            _unknown(session, row, destination, f"not_committed_0x{reason:04X}")
    return bool(rows)


def mark_lost_questions(session: Session, message_life_seconds: float) -> int | None:
    """As ``audit.leases.mark_lost_messages``, for deliveries that a destination is to be asked about."""
    at = now()
    lost = and_(
        _is_due(at),
        or_(
            Delivery.woken_at.is_(None),
            Delivery.woken_at < Delivery.confirm_at,
            Delivery.woken_at < at - timedelta(seconds=message_life_seconds),
        ),
    )
    oldest = session.scalar(select(Delivery.id).where(lost).order_by(Delivery.confirm_at, Delivery.id).limit(1))
    if oldest is not None:
        session.execute(update(Delivery).where(lost).values(woken_at=at).execution_options(synchronize_session=False))
    return oldest


def _held(session: Session, question: Question) -> Delivery:
    held = session.scalar(
        select(Delivery)
        .where(
            Delivery.id == question.id, Delivery.token == question.token, Delivery.state == DeliveryState.SENT
        )
        .with_for_update(of=Delivery)
        .options(joinedload(Delivery.result_object, innerjoin=True))
    )  # fmt: skip
    if held is None:
        raise LeaseLost(f"deliveries row {question.id} was settled by a report, or claimed by another worker")
    return held


def _end(row: Delivery, **values: object) -> None:
    for name, value in {"token": None, "lease_until": None, **values}.items():
        setattr(row, name, value)


def _confirm(session: Session, row: Delivery) -> None:
    _end(row, state=DeliveryState.CONFIRMED, confirmed_at=now(), confirm_at=None, last_error=None)
    _record(session, "delivery.confirmed", row)


def _absent(session: Session, row: Delivery, destination: Confirming) -> None:
    prediction = row.result_object.prediction
    if prediction is not None and prediction.recalled_at is not None:
        # A PACS that heeds the rejection note hides what it withdraws.
        _end(row, state=DeliveryState.DEAD, confirm_at=None, transaction_uid=None, last_error=RECALLED)
        _record(session, "delivery.dead", row, code=RECALLED, repeats=row.repeats)
        return
    if row.repeats >= destination.most_repeats:
        _end(row, state=DeliveryState.DEAD, confirm_at=None, transaction_uid=None, last_error="not_in_pacs")
        _record(session, "delivery.dead", row, code="not_in_pacs", repeats=row.repeats)
        return
    at = now()
    _end(
        row, state=DeliveryState.PENDING, due_at=at, first_due_at=at, woken_at=None, attempts=0,
        confirm_at=None, transaction_uid=None, repeats=row.repeats + 1,
    )  # fmt: skip
    _record(session, "delivery.absent", row, repeats=row.repeats)


def _unknown(session: Session, row: Delivery, destination: Confirming, code: str | None) -> None:
    at = now()
    waited = at - (row.sent_at or at)
    longest = timedelta(hours=destination.confirm_within_hours)
    if waited >= longest:
        _unconfirmed(session, row)
        return
    # A new question ends the transaction of the last: a PACS that commits by night must get the time to.
    pause = max(waited, timedelta(seconds=destination.confirm_after_seconds))
    _end(row, confirm_at=at + min(pause, longest - waited), last_error=code)


def _unconfirmed(session: Session, row: Delivery, reason: int | None = None) -> None:
    code = row.last_error if reason is None else f"not_committed_0x{reason:04X}"
    _end(row, confirm_at=None, last_error="unconfirmed")
    _record(session, "delivery.unconfirmed", row, code=code)


def _record(session: Session, kind: str, row: Delivery, **data: object) -> None:
    about: dict[str, Any] = {"destination": row.destination, **data}
    record_event(session, kind, subject=row.result_object.sop_instance_uid, **about)
