"""Which answers were withdrawn: a mark that goes missing would let a wrong answer stand again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.models import AuditEvent, Instance, Prediction, Study

RECALLED, RECEIVED = "prediction.recalled", "instance.received"
"""A recall, or an image that was erased and came again: both name the predictions in ``withdrawn``."""


class Withdrawals:
    def __init__(self) -> None:
        self.held = 0
        self._named: set[int] = set()
        self._older: set[str] = set()
        """Studies of which a recall did not name the predictions, as it did not use to."""

    def takes(self, event: AuditEvent) -> bool:
        return event.kind == RECALLED or (event.kind == RECEIVED and "withdrawn" in event.data)

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        self._take_in((event.subject, event.data) for event in events)
        named = [row_id for event in events for row_id in event.data.get("withdrawn", ())]
        standing = set(
            session.scalars(select(Prediction.id).where(Prediction.id.in_(named), Prediction.recalled_at.is_(None)))
        )
        for event in events:
            for row_id in sorted(standing.intersection(event.data.get("withdrawn", ()))):
                yield Fault(event.id, f"withdraws prediction {row_id}, which stands in the books as if it held")

    def page(self, session: Session, after: int) -> Page:
        rows = session.execute(
            select(Prediction.id, Instance.sop_instance_uid, Study.study_instance_uid)
            .join(Instance, Prediction.instance_id == Instance.id)
            .join(Study, Instance.study_id == Study.id)
            .where(Prediction.id > after, Prediction.recalled_at.is_not(None))
            .order_by(Prediction.id)
            .limit(AT_ONCE)
        ).all()
        # What was withdrawn since the walk began.
        since = events_about(session, [uid for row in rows for uid in row[1:]], (RECALLED, RECEIVED))
        self._take_in((event.subject, event.data) for event in since)
        unnamed = [row.id for row in rows if not (row.id in self._named or row.study_instance_uid in self._older)]
        fault = (
            Fault(None, f"prediction {unnamed[0]} is withdrawn in the books, and no event tells of it")
            if unnamed
            else None
        )
        return Page(rows[-1].id if rows else None, fault)

    def _take_in(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for subject, data in events:
            self._named.update(data.get("withdrawn", ()))
            if "withdrawn" not in data:
                self._older.add(subject)
