"""The delivery table: every result object x destination with a state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session, joinedload

from audit.events import record_event
from audit.leases import is_due, settle, take
from audit.models import Delivery, now
from core.records import DeliveryJob, DeliveryState

RECALLED = "recalled"
"""Last error of what must not go out any more."""
ERASED = "erased"
"""Last error of what was to be sent again and is not there any more."""
ENDED = (RECALLED, ERASED)

_ONE_AT_A_TIME: Mapping[str, int] = MappingProxyType({})
_CLAIM_LOCK = 7_385_664  # of PostgreSQL's advisory locks; migrations/env.py has the number before it


def is_dead_letter() -> ColumnElement[bool]:
    """It waits for a person. What a recall or an erasure ended is dead as well, and shall not go out any more."""
    ended = func.coalesce(Delivery.last_error, "").in_(ENDED)
    return (Delivery.state == DeliveryState.DEAD) & ~ended


def claim_deliveries(
    session: Session, limit: int, lease_seconds: float, concurrency: Mapping[str, int] = _ONE_AT_A_TIME
) -> list[DeliveryJob]:
    """Up to ``limit`` due deliveries, all of one destination, so that one association carries them.

    Args:
        concurrency: how many workers may send to a destination at once, one where nothing is said: a slow PACS takes
            so many threads, not all.
    """
    if session.get_bind().dialect.name == "postgresql":
        # One claim at a time: two that run side by side cannot see each other's leases, and would both take the same
        # destination. On SQLite the write lock does it.
        session.execute(select(func.pg_advisory_xact_lock(_CLAIM_LOCK)))
    at = now()
    busy = session.execute(
        select(Delivery.destination, func.count(Delivery.token.distinct()))
        .where(Delivery.state == DeliveryState.PENDING, Delivery.lease_until >= at)
        .group_by(Delivery.destination)
    )
    full = [destination for destination, workers in busy if workers >= concurrency.get(destination, 1)]
    first = session.scalar(
        select(Delivery.destination)
        .where(is_due(Delivery, at), Delivery.destination.not_in(full))
        .order_by(Delivery.due_at, Delivery.id)
        .limit(1)
    )
    if first is None:
        return []
    statement = (
        select(Delivery)
        .where(is_due(Delivery, at), Delivery.destination == first)
        .order_by(Delivery.due_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Delivery)
        .options(joinedload(Delivery.result_object, innerjoin=True))
    )
    deliveries = list(session.scalars(statement))
    token = take(deliveries, lease_seconds)
    return [_claimed(delivery, token, at) for delivery in deliveries]


def _claimed(delivery: Delivery, token: str, at: datetime) -> DeliveryJob:
    return DeliveryJob(
        id=delivery.id,
        token=token,
        attempts=delivery.attempts,
        destination=delivery.destination,
        sop_class_uid=delivery.result_object.sop_class_uid,
        sop_instance_uid=delivery.result_object.sop_instance_uid,
        spool_name=delivery.result_object.spool_name,
        age_seconds=(at - (delivery.first_due_at or at)).total_seconds(),
    )


def mark_sent(
    session: Session,
    delivery: DeliveryJob,
    status: int,
    *,
    confirmed: bool = False,
    confirm_after_seconds: float | None = None,
) -> None:
    """The destination answered success or a warning. Raises LeaseLost.

    Args:
        confirmed: the object is known to lie there, and the destination need not be asked.
        confirm_after_seconds: when to ask whether it does; None for a destination that is not asked.
    """
    at = now()
    confirm_at = None
    if confirm_after_seconds is not None and not confirmed:
        confirm_at = at + timedelta(seconds=confirm_after_seconds)
    settle(
        session, Delivery, delivery.id, delivery.token,
        state=DeliveryState.CONFIRMED if confirmed else DeliveryState.SENT,
        sent_at=at, confirmed_at=at if confirmed else None, confirm_at=confirm_at, transaction_uid=None,
        last_status=status, last_error=None,
    )  # fmt: skip
    _record(session, "delivery.sent", delivery, status)
    if confirmed:
        _record(session, "delivery.confirmed", delivery, status)


def mark_dead(session: Session, delivery: DeliveryJob, code: str, status: int | None) -> None:
    """Repeating cannot help, or it was tried for long enough. Raises LeaseLost."""
    settle(
        session, Delivery, delivery.id, delivery.token, state=DeliveryState.DEAD, last_status=status, last_error=code
    )
    _record(session, "delivery.dead", delivery, status, code)


def retry_delivery(
    session: Session, delivery: DeliveryJob, code: str, status: int | None, pause_seconds: float
) -> None:
    """Due again after a pause. Raises LeaseLost."""
    due_at = now() + timedelta(seconds=pause_seconds)
    settle(session, Delivery, delivery.id, delivery.token, due_at=due_at, last_status=status, last_error=code)


def _record(session: Session, kind: str, delivery: DeliveryJob, status: int | None, code: str = "") -> None:
    record_event(
        session,
        kind,
        subject=delivery.sop_instance_uid,
        destination=delivery.destination,
        status=None if status is None else f"0x{status:04X}" if delivery.sop_class_uid else str(status),
        code=code,
        attempts=delivery.attempts,
    )


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What to list or requeue; None and empty mean any."""

    state: DeliveryState | None = None
    destination: str | None = None
    ids: Sequence[int] = ()


def select_deliveries(chosen: DeliveryFilter) -> Select[Delivery]:
    statement = select(Delivery).options(joinedload(Delivery.result_object)).order_by(Delivery.id)
    if chosen.state is not None:
        statement = statement.where(Delivery.state == chosen.state)
    if chosen.destination is not None:
        statement = statement.where(Delivery.destination == chosen.destination)
    if chosen.ids:
        statement = statement.where(Delivery.id.in_(chosen.ids))
    return statement


class RequeueFate(StrEnum):
    """What comes of asking for another delivery; nothing is changed unless it is requeued."""

    REQUEUED = "requeued"
    """Due now, at the destination it always had."""
    UNDER_WAY = "under_way"
    """A worker has it."""
    HELD = "held"
    """Until its study is idle."""
    RECALLED = "recalled"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Requeued:
    delivery: Delivery
    fate: RequeueFate


def requeue_deliveries(session: Session, chosen: DeliveryFilter, actor: str) -> list[int]:
    """Make deliveries due now; returns the ids of those that this was possible for."""
    deliveries = session.scalars(select_deliveries(chosen).with_for_update(of=Delivery))
    return [row.id for row in deliveries if _requeue(session, row, actor) is RequeueFate.REQUEUED]


def requeue_delivery(session: Session, delivery_id: int, actor: str) -> Requeued | None:
    """None where there is no such delivery."""
    one = select_deliveries(DeliveryFilter(ids=[delivery_id])).with_for_update(of=Delivery)
    delivery = session.scalar(one)
    return None if delivery is None else Requeued(delivery, _requeue(session, delivery, actor))


def _requeue(session: Session, delivery: Delivery, actor: str) -> RequeueFate:
    at = now()
    if not delivery.result_object.spool_name:
        return RequeueFate.ERASED
    if delivery.last_error == RECALLED:
        return RequeueFate.RECALLED
    if delivery.due_at is None:
        return RequeueFate.HELD
    if delivery.lease_until is not None and delivery.lease_until >= at:
        return RequeueFate.UNDER_WAY
    fresh = not delivery.attempts and not delivery.repeats
    if fresh and delivery.state is DeliveryState.PENDING and delivery.due_at <= at:
        return RequeueFate.REQUEUED  # somebody did so before, or it is new
    delivery.state = DeliveryState.PENDING
    delivery.due_at = delivery.first_due_at = at
    delivery.woken_at, delivery.attempts = None, 0
    delivery.confirm_at = delivery.confirmed_at = delivery.transaction_uid = None
    delivery.repeats = 0
    record_event(
        session,
        "delivery.requeued",
        subject=delivery.result_object.sop_instance_uid,
        actor=actor,
        destination=delivery.destination,
    )
    return RequeueFate.REQUEUED
