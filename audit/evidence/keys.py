"""Who may do what: a key that was slipped in, widened or brought back opens the door for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, type_coerce
from sqlalchemy.orm import Session

from audit.api_keys import fingerprint
from audit.chain import moment
from audit.evidence.book import AT_ONCE, Fault, Moment, Page, events_about
from audit.models import APIKey, AuditEvent

_CREATED, _REVOKED = "key.created", "key.revoked"
_SCOPES_OF_OLDER = ["audit:read", "phi:read"]  # the migration that brought scopes gave these to the keys there were


class Keys:
    def __init__(self) -> None:
        self.held = 0

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in (_CREATED, _REVOKED)

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        theirs = APIKey.name.in_({event.subject for event in events})
        known = set(session.scalars(select(APIKey.name).where(theirs)))
        for event in events:
            if event.subject not in known:
                yield Fault(event.id, f"tells of key {event.subject!r}, which is gone from the books")

    def page(self, session: Session, after: int) -> Page:
        columns = select(
            APIKey.id, APIKey.name, APIKey.prefix, APIKey.sha256, APIKey.scopes,
            type_coerce(APIKey.expires_at, Moment()).label("expires_at"),
            APIKey.revoked_at.is_not(None).label("is_revoked"),
        )  # fmt: skip
        rows = session.execute(columns.where(APIKey.id > after).order_by(APIKey.id).limit(AT_ONCE)).all()
        said = {
            (event.subject, event.kind): event.data
            for event in events_about(session, [row.name for row in rows], (_CREATED, _REVOKED))
        }
        whys = (
            (row.id, _wrong(row, said.get((row.name, _CREATED)), is_revoked=(row.name, _REVOKED) in said))
            for row in rows
        )
        fault = next((Fault(None, f"key {row_id} {why}") for row_id, why in whys if why), None)
        return Page(rows[-1].id if rows else None, fault)


def _wrong(row: Row[*tuple[Any, ...]], said: dict[str, Any] | None, *, is_revoked: bool) -> str | None:
    if said is None:
        return "stands in the books, and no event tells of it"
    expires_at = said.get("expires_at")
    expected = {
        "prefix": said["prefix"],
        "scopes": said.get("scopes", _SCOPES_OF_OLDER),
        "expires_at": expires_at and moment(datetime.fromisoformat(expires_at)),
        "sha256": said.get("fingerprint", fingerprint(row.sha256)),
    }
    held = {**row._mapping, "sha256": fingerprint(row.sha256)}
    changed = [key for key, value in expected.items() if held[key] != value]
    if changed:
        return f"was changed in the books since its event: {', '.join(changed)}"
    if row.is_revoked != is_revoked:
        words = "stands in the books as if it held" if is_revoked else "is revoked in the books"
        return f"{words}, and its last event says otherwise"
    return None
