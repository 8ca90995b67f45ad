"""What became of the results: a dead letter cannot be made out to be a confirmed one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from audit.deliveries import RECALLED
from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.models import AuditEvent, Delivery, Prediction, ResultObject
from core.records import DeliveryState

_BECAME = {
    "delivery.sent": DeliveryState.SENT,
    "delivery.confirmed": DeliveryState.CONFIRMED,
    "delivery.dead": DeliveryState.DEAD,
    "delivery.absent": DeliveryState.PENDING,
    "delivery.requeued": DeliveryState.PENDING,
}
"""The state after the last of these; before the first it is pending."""


class Deliveries:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in _BECAME

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        rows = session.execute(
            select(ResultObject.sop_instance_uid, Delivery.destination)
            .join(ResultObject, Delivery.result_object_id == ResultObject.id)
            .where(ResultObject.sop_instance_uid.in_({event.subject for event in events}))
        ).all()
        known = {(uid, destination) for uid, destination in rows}
        for event in events:
            destination = event.data["destination"]
            if (event.subject, destination) not in known:
                yield Fault(
                    event.id, f"tells of result {event.subject} for {destination}, which is gone from the books"
                )

    def page(self, session: Session, after: int) -> Page:
        rows = session.execute(
            select(
                Delivery.id, Delivery.destination, type_coerce(Delivery.state, String),
                ResultObject.sop_instance_uid, (Delivery.last_error == RECALLED) & Prediction.recalled_at.is_not(None),
            )
            .join(ResultObject, Delivery.result_object_id == ResultObject.id)
            .outerjoin(Prediction, ResultObject.prediction_id == Prediction.id)
            .where(Delivery.id > after)
            .order_by(Delivery.id)
            .limit(AT_ONCE)
        ).all()  # fmt: skip
        became = {
            (event.subject, event.data["destination"]): _BECAME[event.kind]
            for event in events_about(session, [row.sop_instance_uid for row in rows], tuple(_BECAME))
        }
        for row_id, destination, state, uid, is_recalled in rows:
            expected = became.get((uid, destination), DeliveryState.PENDING)
            stopped = state == DeliveryState.DEAD and is_recalled  # its event is that of the recall
            if state != expected and not stopped:
                why = f"delivery {row_id} is {state} in the books, and {expected} by its last event"
                return Page(row_id, Fault(None, why))
        return Page(rows[-1].id if rows else None)
