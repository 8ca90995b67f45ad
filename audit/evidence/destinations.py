"""Where results go: a delivery that goes missing leaves a study unsent, and one too many sends it to somebody else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.models import AuditEvent, Delivery, Instance, Prediction, ResultObject, Role, Study
from core.records import Outcome

Pair = tuple[str, str]
"""Object and destination."""
_OF_AN_IMAGE = tuple(f"prediction.{outcome}" for outcome in Outcome)
_OF_A_STUDY = ("study.concluded", "study.rejected")


class Destinations:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in _OF_A_STUDY or (event.kind in _OF_AN_IMAGE and "deliveries" in event.data)

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        """Of an image both ways, since one event names all that its results are sent to."""
        of_study = {uid for event in events if event.kind in _OF_A_STUDY for uid, _ in _named(event.kind, event.data)}
        rows = _rows(session, [event.data["prediction"] for event in events if event.kind in _OF_AN_IMAGE], of_study)
        known = set().union(*rows.values())
        for event in events:
            named = _named(event.kind, event.data)
            for uid, destination in sorted(named - known):
                yield Fault(event.id, f"tells of result {uid} for {destination}, which is gone from the books")
            if event.kind in _OF_AN_IMAGE:
                for uid, destination in sorted(rows[event.data["prediction"]] - named):
                    yield Fault(event.id, f"does not send result {uid} to {destination}, and the books do")

    def page(self, session: Session, after: int) -> Page:
        """Those of no answer in charge: of studies, and whatever else stands there."""
        rows = session.execute(
            select(Delivery.id, ResultObject.sop_instance_uid, Delivery.destination, Study.study_instance_uid)
            .join(ResultObject, Delivery.result_object_id == ResultObject.id)
            .join(Study, ResultObject.study_id == Study.id)
            .outerjoin(Prediction, ResultObject.prediction_id == Prediction.id)
            .where(Delivery.id > after, Prediction.role.is_distinct_from(Role.ACTIVE))
            .order_by(Delivery.id)
            .limit(AT_ONCE)
        ).all()
        named: set[Pair] = set()
        for event in events_about(session, [row.study_instance_uid for row in rows], _OF_A_STUDY):
            named |= _named(event.kind, event.data)
        unnamed = [row for row in rows if (row.sop_instance_uid, row.destination) not in named]
        younger = _younger(session, {row.study_instance_uid for row in unnamed})
        wrong = next((row for row in unnamed if row.study_instance_uid in younger), None)
        fault = Fault(None, f"delivery {wrong.id} stands in the books, and no event tells of it") if wrong else None
        return Page(rows[-1].id if rows else None, fault)


def _named(kind: str, data: Mapping[str, Any]) -> set[Pair]:
    if kind == "study.rejected":
        return {(data["note"], destination) for destination in data["destinations"]}
    return {(uid, destination) for uid, destination in data["deliveries"]}


def _rows(session: Session, predictions: Collection[int], results: Collection[str]) -> dict[int, set[Pair]]:
    """By prediction, 0 for those of studies."""
    columns = select(ResultObject.prediction_id, ResultObject.sop_instance_uid, Delivery.destination)
    joined = columns.join(Delivery, Delivery.result_object_id == ResultObject.id)
    rows: dict[int, set[Pair]] = defaultdict(set)
    for wanted in (ResultObject.prediction_id.in_(predictions), ResultObject.sop_instance_uid.in_(results)):
        for owner, uid, destination in session.execute(joined.where(wanted)):
            rows[owner or 0].add((uid, destination))
    return rows


def _younger(session: Session, studies: Collection[str]) -> set[str]:
    """Studies from since events say where results go: no event of their images leaves it out."""
    images = dict(
        session.execute(
            select(Instance.sop_instance_uid, Study.study_instance_uid)
            .join(Instance.study)
            .where(Study.study_instance_uid.in_(studies))
        ).all()
    )
    said = events_about(session, images, _OF_AN_IMAGE)
    return set(images.values()) - {images[event.subject] for event in said if "deliveries" not in event.data}
