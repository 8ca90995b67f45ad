"""What happened to a study, its images and their results, in the order it happened; and who read of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, func, select, union
from sqlalchemy.orm import Session

from audit.models import AuditEvent, Instance, ResultObject, Study

READS = ("api.read", "api.exported", "prediction.served")
"""Kinds of event that change nothing. A dashboard leaves thousands of them, which must not hide what happened."""
MOST_EVENTS = 1000
"""Of one study; the newest of them where there are more."""
MOST_READS = 100


@dataclass(frozen=True, slots=True)
class History:
    events: list[AuditEvent]
    """What happened, oldest first."""
    left_out: int
    """Older events than these."""
    reads: int
    newest_reads: list[AuditEvent]
    """Newest first."""


def history_of_study(session: Session, study_instance_uid: str) -> History:
    """The events about the study, its images and the objects made from them."""
    study_id = select(Study.id).where(Study.study_instance_uid == study_instance_uid).scalar_subquery()
    subjects = union(
        select(Study.study_instance_uid).where(Study.id == study_id),
        select(Instance.sop_instance_uid).where(Instance.study_id == study_id),
        select(ResultObject.sop_instance_uid).where(ResultObject.study_id == study_id),
    )
    about = select(AuditEvent).where(AuditEvent.subject.in_(subjects))
    is_read = AuditEvent.kind.in_(READS)
    events, reads = about.where(~is_read), about.where(is_read)
    shown = _newest(session, events, MOST_EVENTS)
    return History(
        events=shown[::-1],
        left_out=_count(session, events) - len(shown) if len(shown) == MOST_EVENTS else 0,
        reads=_count(session, reads),
        newest_reads=_newest(session, reads, MOST_READS),
    )


def _newest(session: Session, events: Select[AuditEvent], limit: int) -> list[AuditEvent]:
    return list(session.scalars(events.order_by(AuditEvent.id.desc()).limit(limit)))


def _count(session: Session, events: Select[AuditEvent]) -> int:
    return session.scalar(select(func.count()).select_from(events.subquery())) or 0
