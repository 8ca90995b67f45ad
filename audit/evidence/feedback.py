"""What readers said of predictions, but for their comments, which are erased with the patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Moment, Page, events_about
from audit.models import AuditEvent, Feedback, Instance, Prediction

FEEDBACK_GIVEN = "feedback.given"


class ReadersWords:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind == FEEDBACK_GIVEN

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        rows = _rows(session, [event.data["feedback"] for event in events])
        for event in events:
            row_id, said = event.data["feedback"], {"image": event.subject, "principal": event.actor, **event.data}
            if row_id not in rows:
                yield Fault(event.id, f"tells of feedback {row_id}, which is gone from the books")
            elif changed := [key for key, value in rows[row_id].items() if said.get(key, value) != value]:
                words = ", ".join(changed)
                yield Fault(event.id, f"tells of feedback {row_id}, which was changed in the books: {words}")

    def page(self, session: Session, after: int) -> Page:
        rows = session.execute(
            select(Feedback.id, Instance.sop_instance_uid)
            .join(Prediction, Feedback.prediction_id == Prediction.id)
            .join(Instance, Prediction.instance_id == Instance.id)
            .where(Feedback.id > after)
            .order_by(Feedback.id)
            .limit(AT_ONCE)
        ).all()
        events = events_about(session, [image for _, image in rows], (FEEDBACK_GIVEN,))
        named = {event.data["feedback"] for event in events}
        unnamed = [row_id for row_id, _ in rows if row_id not in named]
        fault = Fault(None, f"feedback {unnamed[0]} stands in the books, and no event tells of it") if unnamed else None
        return Page(rows[-1].id if rows else None, fault)


def _rows(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = session.execute(
        select(
            Feedback.id, Feedback.prediction_id, type_coerce(Feedback.agreement, String),
            type_coerce(Feedback.true_label, String), Feedback.reader, Feedback.principal,
            type_coerce(Feedback.created_at, Moment()), Instance.sop_instance_uid,
        )
        .join(Prediction, Feedback.prediction_id == Prediction.id)
        .join(Instance, Prediction.instance_id == Instance.id)
        .where(Feedback.id.in_(ids))
    )  # fmt: skip
    keys = ("prediction", "agreement", "true_label", "reader", "principal", "created_at", "image")
    return {row[0]: dict(zip(keys, row[1:], strict=True)) for row in rows}
