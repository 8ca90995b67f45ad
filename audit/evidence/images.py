"""Which images came, from whom and as part of what, and the digest of what came; and that each is analysed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, String, func, select, type_coerce
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Moment, Page, Said, events_about
from audit.models import AuditEvent, Instance, Job, JobState, Source, Study, Upload
from core.records import Outcome

_UPLOADED = "upload.received"
_KINDS = ("instance.received", _UPLOADED)
_ASKED_AGAIN = "job.requeued"
_ANSWERED = tuple(f"prediction.{outcome}" for outcome in Outcome)
_SAID = ("study", "series", "source", "received_at")


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
        rows = _rows(session, after)
        # The last word counts: an image that was erased may come again with other bytes, in another study.
        last: dict[str, Said] = {}
        uploaders: dict[str, str] = {}
        answered: set[str] = set()
        """Those of which an answer came since they came, or somebody asked for another one."""
        for event in events_about(session, [row.image for row in rows], (*_KINDS, _ASKED_AGAIN, *_ANSWERED)):
            if event.kind in _ANSWERED:
                answered.add(event.subject)
                continue
            answered.discard(event.subject)
            if event.kind in _KINDS:
                last[event.subject] = event
            if event.kind == _UPLOADED:
                uploaders[event.subject] = event.actor
        whys = (
            _wrong(row, last.get(row.image), uploaders.get(row.image), is_answered=row.image in answered)
            for row in rows
        )
        fault = next((Fault(None, f"image {row.id} {why}") for row, why in zip(rows, whys, strict=True) if why), None)
        return Page(rows[-1].id if rows else None, fault)


def _rows(session: Session, after: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """With outer joins: a row that names no study is to be found as well."""
    return session.execute(
        select(
            Instance.id, Instance.sop_instance_uid.label("image"), Instance.calling_ae_title,
            Study.study_instance_uid.label("study"), Instance.series_instance_uid.label("series"),
            Source.name.label("source"), type_coerce(Instance.received_at, Moment()).label("received_at"),
            func.coalesce(Upload.content_sha256, Instance.sha256).label("sha256"), Upload.principal,
            type_coerce(Job.state, String).label("job"),
        )
        .outerjoin(Study, Instance.study_id == Study.id)
        .outerjoin(Source, Instance.source_id == Source.id)
        .outerjoin(Upload, Upload.instance_id == Instance.id)
        .outerjoin(Job, Job.instance_id == Instance.id)
        .where(Instance.id > after)
        .order_by(Instance.id)
        .limit(AT_ONCE)
    ).all()  # fmt: skip


def _wrong(row: Row[*tuple[Any, ...]], said: Said | None, uploader: str | None, *, is_answered: bool) -> str | None:
    """Older events say less, and a row is held to what its event says."""
    if said is None:
        return "stands in the books, and no event tells of it"
    if said.data.get("sha256", row.sha256) != row.sha256:
        return "has another digest in the books than its event says"
    changed = [key for key in _SAID if said.data.get(key, getattr(row, key)) != getattr(row, key)]
    if "study" in said.data and row.calling_ae_title != ("" if said.kind == _UPLOADED else said.actor):
        changed.append("calling_ae_title")
    if row.principal != uploader:
        changed.append("upload")
    if changed:
        return f"was changed in the books since its event: {', '.join(changed)}"
    if row.job is None:
        return "has no job: nobody would analyse it"
    if row.job == JobState.DONE and not is_answered:
        return "is analysed by its job, and no event tells of an answer"
    return None
