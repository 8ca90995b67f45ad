"""Which studies were erased: the mark keeps readers, storage commitment and re-analysis off them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.models import AuditEvent, Study

_ERASED = "study.erased"
_KINDS = (_ERASED, "study.returned")


class Erasures:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in _KINDS

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        theirs = {event.subject for event in events}
        marked = dict(
            session.execute(
                select(Study.study_instance_uid, Study.erased_at.is_not(None)).where(
                    Study.study_instance_uid.in_(theirs)
                )
            ).all()
        )
        last = {event.subject: event for event in events_about(session, theirs, _KINDS)}
        for event in events:
            if event.subject not in marked:
                yield Fault(event.id, f"tells of study {event.subject}, which is gone from the books")
            elif last[event.subject].id == event.id and event.kind == _ERASED and not marked[event.subject]:
                yield Fault(event.id, f"erases study {event.subject}, which stands in the books as if it were there")

    def page(self, session: Session, after: int) -> Page:
        erased = (Study.id > after, Study.erased_at.is_not(None))
        columns = select(Study.id, Study.study_instance_uid)
        rows = session.execute(columns.where(*erased).order_by(Study.id).limit(AT_ONCE)).all()
        last = {event.subject: event.kind for event in events_about(session, [uid for _, uid in rows], _KINDS)}
        wrong = next((row_id for row_id, uid in rows if last.get(uid) != _ERASED), None)
        fault = None if wrong is None else Fault(None, f"study {wrong} is erased in the books, and by no event")
        return Page(rows[-1].id if rows else None, fault)
