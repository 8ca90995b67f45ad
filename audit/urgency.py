"""Whose turn it is: due jobs in the order they are claimed in."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from itertools import takewhile

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, joinedload

from audit.leases import is_due
from audit.models import Instance, Job, Priority, now

# How long a job waits before it may come ahead of more urgent ones, the least urgent first.
_PATIENCE = {Priority.AGAIN: timedelta(hours=1), Priority.NORMAL: timedelta(minutes=1)}


class Turn(Enum):
    URGENT_FIRST = auto()
    """The most urgent ones, of these the oldest."""
    LATE_FIRST = auto()
    """What has waited for its turn too long, if anything has. Who claims so now and then keeps a steady stream of
    urgent jobs from starving the others, and the others from holding it up."""
    SOMEONE_WAITS = auto()
    """None but those, and none that was claimed before."""


def next_jobs(session: Session, limit: int, turn: Turn) -> list[Job]:
    """Up to ``limit`` due jobs, locked.

    Those that someone waits for come without others, which would hold them up. A job that was claimed before and never
    finished comes alone, in its turn: if it kills its worker again, it takes no other image with it, and a steady
    stream of new images cannot keep it waiting.
    """
    waited_for = Job.priority == Priority.SOMEONE_WAITS
    if turn is Turn.SOMEONE_WAITS:
        return _due(session, limit, waited_for, Job.attempts == 0)
    jobs = (_late(session, limit) if turn is Turn.LATE_FIRST else []) or _due(session, limit)
    if jobs and jobs[0].priority == Priority.SOMEONE_WAITS:
        jobs = [job for job in jobs if job.priority == Priority.SOMEONE_WAITS]
    return list(takewhile(lambda job: job.attempts == 0, jobs)) or jobs[:1]


def someone_waits(session: Session) -> bool:
    """Whether a claim of that turn may find something."""
    waiting = select(Job.id).where(is_due(Job, now()), Job.priority == Priority.SOMEONE_WAITS, Job.attempts == 0)
    return session.scalar(waiting.limit(1)) is not None


def _late(session: Session, limit: int) -> list[Job]:
    at = now()
    conditions = ((Job.priority == priority, Job.due_at <= at - patience) for priority, patience in _PATIENCE.items())
    return next((jobs for each in conditions if (jobs := _due(session, limit, *each))), [])


def _due(session: Session, limit: int, *conditions: ColumnElement[bool]) -> list[Job]:
    statement = (
        select(Job)
        .where(is_due(Job, now()), *conditions)
        .order_by(Job.priority, Job.due_at, Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Job)
        .options(
            joinedload(Job.instance, innerjoin=True).options(
                joinedload(Instance.study, innerjoin=True),
                joinedload(Instance.source, innerjoin=True),
                joinedload(Instance.upload),
            )
        )
    )
    return list(session.scalars(statement))
