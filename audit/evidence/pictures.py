"""The pictures that are shown of a judged image, until its study is erased."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from audit.evidence.book import Fault, Page, events_about
from audit.models import AuditEvent, Instance, Picture, Study

_ERASED, _CAME_AGAIN = "study.erased", "instance.received"


class Pictures:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind.startswith("prediction.") and "pictures" in event.data

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        rows = _rows(session, [event.data["prediction"] for event in events])
        wrong = [event for event in events if event.data["pictures"] != rows.get(event.data["prediction"], [])]
        erased = _last_erased(session, {event.subject for event in wrong})
        for event in wrong:
            row_id = event.data["prediction"]
            if row_id in rows or erased.get(event.subject, 0) < event.id:
                yield Fault(event.id, f"tells of prediction {row_id}, whose pictures were changed in the books")

    def page(self, session: Session, after: int) -> Page:  # noqa: ARG002 - as every book is asked
        """Nothing more: the event of a prediction names all of its pictures."""
        return Page(None)


def _rows(session: Session, ids: Sequence[int]) -> dict[int, list[list[str]]]:
    columns = (Picture.prediction_id, type_coerce(Picture.kind, String), Picture.sha256)
    rows: dict[int, list[list[str]]] = defaultdict(list)
    for row_id, kind, sha256 in session.execute(select(*columns).where(Picture.prediction_id.in_(ids))):
        rows[row_id].append([kind, sha256])
    return {row_id: sorted(pictures) for row_id, pictures in rows.items()}


def _last_erased(session: Session, images: Collection[str]) -> dict[str, int]:
    """By image, the last event that says that it was erased: that of its study, or of its coming again."""
    studies = dict(
        session.execute(
            select(Instance.sop_instance_uid, Study.study_instance_uid)
            .join(Instance.study)
            .where(Instance.sop_instance_uid.in_(images))
        ).all()
    )
    last = {
        event.subject: event.id
        for event in events_about(session, {*images, *studies.values()}, (_ERASED, _CAME_AGAIN))
        if event.kind == _ERASED or "after_erasure" in event.data
    }
    return {image: max(last.get(image, 0), last.get(studies.get(image, ""), 0)) for image in images}
