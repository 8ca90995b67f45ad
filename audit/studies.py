"""When a study is complete enough to report: nothing of it has arrived for a while and nothing of it is unfinished."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.models import Delivery, Instance, Job, JobState, ResultObject, Study, now

_AT_ONCE = 500  # studies of one transaction: after a long outage thousands may be waiting


def release_idle_studies(session: Session, idle_seconds: float, *, conclude: bool = False) -> list[str]:
    """Let the held results of idle studies go, of some hundred studies at most, and return these studies' UIDs.

    A late image opens the study again; when it is idle once more, only what is new is sent.

    Args:
        conclude: results about the study as a whole are wanted as well (``audit.study_results``).
    """
    at = now()
    unfinished = exists().where(
        Instance.study_id == Study.id, Job.instance_id == Instance.id, Job.state == JobState.PENDING
    )
    candidates = session.scalars(
        select(Study)
        .where(
            Study.reported_at.is_(None),
            Study.last_received_at <= at - timedelta(seconds=idle_seconds),
            ~unfinished,
        )
        .order_by(Study.last_received_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    # Asked again now that the studies are locked: an image booked between the reading and the locking of a row is not
    # in the first statement's snapshot, and its results would be held for ever.
    locked = [study.id for study in candidates]
    idle = session.scalars(select(Study).where(Study.id.in_(locked), ~unfinished)).all()
    for study in idle:
        study.reported_at = at
        study.concluded_at = None if conclude else at
        held = (
            select(Delivery.id)
            .join(ResultObject, Delivery.result_object_id == ResultObject.id)
            .where(ResultObject.study_id == study.id, Delivery.due_at.is_(None))
        )
        session.execute(
            update(Delivery)
            .where(Delivery.id.in_(held))
            .values(due_at=at, first_due_at=at)
            .execution_options(synchronize_session=False)
        )
        record_event(session, "study.reported", subject=study.study_instance_uid)
    return [study.study_instance_uid for study in idle]
