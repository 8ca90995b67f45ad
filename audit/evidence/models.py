"""What decides a prediction beside the image: a moved threshold would make a positive of a negative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session, defer

from audit.evidence.book import AT_ONCE, Fault, Page, events_about
from audit.inference_jobs import facts
from audit.model_versions import BECAME
from audit.models import AuditEvent, ModelState, ModelVersion

_REGISTERED = "model.registered"
_BECAME = {kind: state.value for state, kind in BECAME.items()}


class Models:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind == _REGISTERED

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        theirs = ModelVersion.device_uid.in_({event.subject for event in events})
        known = set(session.scalars(select(ModelVersion.device_uid).where(theirs)))
        for event in events:
            if event.subject not in known:
                yield Fault(event.id, f"tells of model {event.subject}, which is gone from the books")

    def page(self, session: Session, after: int) -> Page:
        # Its state as text, and no times: who changes a row may write anything.
        columns = select(ModelVersion, type_coerce(ModelVersion.state, String)).options(
            *(defer(each) for each in (ModelVersion.state, ModelVersion.state_since, ModelVersion.registered_at))
        )
        rows = session.execute(
            columns.where(ModelVersion.id > after).order_by(ModelVersion.id).limit(AT_ONCE)
        ).all()  # fmt: skip
        said: dict[str, dict[str, Any]] = {}
        states: dict[str, str] = {}
        for event in events_about(session, [row.device_uid for row, _ in rows], (_REGISTERED, *_BECAME)):
            if event.kind == _REGISTERED:
                said[event.subject] = event.data
            else:
                states[event.subject] = _BECAME[event.kind]
        whys = (
            (row.id, _wrong(row, state, said.get(row.device_uid), states.get(row.device_uid))) for row, state in rows
        )
        fault = next((Fault(None, f"model {row_id} {why}") for row_id, why in whys if why), None)
        return Page(rows[-1][0].id if rows else None, fault)


def _wrong(row: ModelVersion, state: str, said: dict[str, Any] | None, became: str | None) -> str | None:
    if said is None:
        return "stands in the books, and no event tells of it"
    changed = [key for key, value in facts(row).items() if said.get(key, value) != value]  # older events say less
    if changed:
        return f"was changed in the books since its event: {', '.join(changed)}"
    expected = became or ModelState.IDLE.value
    return f"is {state} in the books, and {expected} by its last event" if state != expected else None
