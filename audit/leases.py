"""Claiming rows, for jobs and deliveries alike."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from audit.models import CommitmentRequest, CommitmentState, Delivery, Job, JobState, now
from core.errors import LeaseLost
from core.records import DeliveryState

Work = type[Job] | type[Delivery] | type[CommitmentRequest]
_PENDING: dict[Work, StrEnum] = {
    Job: JobState.PENDING,
    Delivery: DeliveryState.PENDING,
    CommitmentRequest: CommitmentState.PENDING,
}


def is_due(work: Work, at: datetime) -> ColumnElement[bool]:
    """Pending, due, and under no running lease."""
    return and_(_is_pending(work), work.due_at <= at, or_(work.lease_until.is_(None), work.lease_until < at))


def _is_pending(work: Work) -> ColumnElement[bool]:
    return work.state == _PENDING[work]


def take(rows: Sequence[Job | Delivery | CommitmentRequest], lease_seconds: float) -> str:
    """Put a token on locked rows, count the attempt, and return the token."""
    token, until = uuid.uuid4().hex, now() + timedelta(seconds=lease_seconds)
    for row in rows:
        row.token, row.lease_until = token, until
        row.attempts += 1
    return token


def renew(session: Session, work: Work, ids: Sequence[int], token: str, lease_seconds: float) -> None:
    """Keep the rows of a batch that are not finished yet."""
    statement = update(work).where(work.id.in_(ids), work.token == token, _is_pending(work))
    session.execute(statement.values(lease_until=now() + timedelta(seconds=lease_seconds)))


def settle(session: Session, work: Work, row_id: int, token: str, **values: Any) -> None:
    """Write the end of an attempt and give the lease back.

    Raises:
        LeaseLost: the token is no longer the row's, so nothing was written.
    """
    held = (work.id == row_id, work.token == token, _is_pending(work))
    statement = update(work).where(*held).values(token=None, lease_until=None, **values).returning(work.id)
    if session.scalar(statement) is None:
        raise LeaseLost(f"{work.__tablename__} row {row_id} was claimed by another worker")


def mark_lost_messages(session: Session, work: Work, message_life_seconds: float) -> int | None:
    """Of the due rows without a live message: mark them all as woken, and return the id of the oldest.

    One message is enough for all of them, since a worker that is awake claims until nothing is due.
    """
    at = now()
    lost = and_(
        is_due(work, at),
        or_(
            work.woken_at.is_(None),
            work.woken_at < work.due_at,
            work.woken_at < at - timedelta(seconds=message_life_seconds),
        ),
    )
    oldest = session.scalar(select(work.id).where(lost).order_by(work.due_at, work.id).limit(1))
    if oldest is not None:
        session.execute(update(work).where(lost).values(woken_at=at).execution_options(synchronize_session=False))
    return oldest
