"""Requests that carry an Idempotency-Key, so that whoever repeats one gets the first one's answer.

What is kept holds nothing of a patient, and is gone after a day: each new key takes the old ones away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from audit.models import IdempotentRequest, now

_KEPT = timedelta(hours=24)


class Standing(StrEnum):
    FIRST = "first"
    """Do the work, then call ``keep_answer`` or ``forget``."""
    RUNNING = "running"
    ANSWERED = "answered"
    OTHER = "other"
    """The key came with another request before."""


@dataclass(frozen=True, slots=True)
class Begun:
    standing: Standing
    row_id: int
    answer: dict[str, Any] | None = None


def begin(session: Session, principal: str, key: str, request_sha256: str, longest_seconds: float) -> Begun:
    """Take the key, or say what became of it.

    Args:
        longest_seconds: no request takes longer; one that has is dead, and the next one stands in for it.
    """
    at = now()
    session.execute(delete(IdempotentRequest).where(IdempotentRequest.created_at < at - _KEPT))
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    taken = session.scalar(
        insert(IdempotentRequest)
        .values(principal=principal, key=key, request_sha256=request_sha256, created_at=at)
        .on_conflict_do_nothing(index_elements=["principal", "key"])
        .returning(IdempotentRequest.id)
    )
    if taken is not None:
        return Begun(Standing.FIRST, taken)
    row = session.scalars(
        select(IdempotentRequest)
        .where(IdempotentRequest.principal == principal, IdempotentRequest.key == key)
        .with_for_update()
    ).one()
    if row.request_sha256 != request_sha256:
        return Begun(Standing.OTHER, row.id)
    if row.answer is not None:
        return Begun(Standing.ANSWERED, row.id, row.answer)
    if row.created_at < at - timedelta(seconds=longest_seconds):
        row.created_at = at
        return Begun(Standing.FIRST, row.id)
    return Begun(Standing.RUNNING, row.id)


def keep_answer(session: Session, row_id: int, answer: dict[str, Any]) -> None:
    """``answer`` must hold nothing of a patient: erasure does not look here."""
    session.execute(update(IdempotentRequest).where(IdempotentRequest.id == row_id).values(answer=answer))


def forget(session: Session, row_id: int) -> None:
    """The request came to no answer that would stand; the key is free again."""
    session.execute(delete(IdempotentRequest).where(IdempotentRequest.id == row_id, IdempotentRequest.answer.is_(None)))
