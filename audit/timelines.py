"""What happened to a study, its images and their results, in the order it happened."""

from __future__ import annotations

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from audit.models import AuditEvent, Instance, ResultObject, Study

MOST_EVENTS = 1000
"""Of one study; the newest of them where there are more."""


def events_of_study(session: Session, study_instance_uid: str) -> list[AuditEvent]:
    """Oldest first: the events about the study, its images and the objects made from them."""
    study_id = select(Study.id).where(Study.study_instance_uid == study_instance_uid).scalar_subquery()
    subjects = union(
        select(Study.study_instance_uid).where(Study.id == study_id),
        select(Instance.sop_instance_uid).where(Instance.study_id == study_id),
        select(ResultObject.sop_instance_uid).where(ResultObject.study_id == study_id),
    )
    newest = select(AuditEvent).where(AuditEvent.subject.in_(subjects)).order_by(AuditEvent.id.desc())
    return list(reversed(session.scalars(newest.limit(MOST_EVENTS)).all()))
