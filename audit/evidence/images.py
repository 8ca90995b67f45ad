"""Which images came, and the digest of what came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.models import AuditEvent, Instance, Upload

_KINDS = ("instance.received", "upload.received")


class Images:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in _KINDS

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        theirs = Instance.sop_instance_uid.in_({event.subject for event in events})
        known = set(session.scalars(select(Instance.sop_instance_uid).where(theirs)))
        for event in events:
            if event.subject not in known:
                yield Fault(event.id, f"tells of image {event.subject}, which is gone from the books")

    def page(self, session: Session, after: int) -> Page:
        rows = session.execute(
            select(
                Instance.id, Instance.sop_instance_uid, func.coalesce(Upload.content_sha256, Instance.sha256)
            )
            .outerjoin(Upload, Upload.instance_id == Instance.id)
            .where(Instance.id > after)
            .order_by(Instance.id)
            .limit(AT_ONCE)
        ).all()  # fmt: skip
        # The last word counts: an image that was erased may come again with other bytes.
        said = {event.subject: event for event in events_about(session, [uid for _, uid, _ in rows], _KINDS)}
        fault = None
        for row_id, uid, sha256 in rows:
            if uid not in said:
                fault = fault or Fault(None, f"image {row_id} stands in the books, and no event tells of it")
            elif said[uid].data.get("sha256", sha256) != sha256:  # older events do not say it
                fault = fault or Fault(None, f"image {row_id} has another digest in the books than its event says")
        return Page(rows[-1].id if rows else None, fault)
