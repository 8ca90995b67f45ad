"""Sign-ins to the pages. A session's token lies in the browser's cookie; here is its hash alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from audit.api_keys import fault_of
from audit.events import record_event
from audit.models import APIKey, BrowserSession, now
from core.scopes import Scope

_KEPT = timedelta(days=7)  # after their end; the events tell of them for ever


def start_session(
    session: Session,
    principal: str,
    scopes: Collection[Scope],
    lasts: timedelta,
    *,
    address: str,
    key: APIKey | None = None,
) -> str:
    """The token for the cookie, which cannot be had again. ``key`` ends the session with its own end."""
    token, begins = secrets.token_urlsafe(32), now()
    ends = begins + lasts
    if key is not None and key.expires_at is not None:
        ends = min(ends, key.expires_at)
    session.execute(delete(BrowserSession).where(BrowserSession.expires_at < begins - _KEPT))
    session.add(
        BrowserSession(
            token_sha256=_digest(token),
            csrf_token=secrets.token_urlsafe(32),
            principal=principal,
            scopes=sorted(set(scopes)),
            key_id=key.id if key else None,
            created_at=begins,
            expires_at=ends,
        )
    )
    record_event(
        session, "session.started", subject=principal, actor=principal, address=address,
        by="key" if key else "oidc", scopes=sorted(set(scopes)), expires_at=ends.isoformat(),
    )  # fmt: skip
    return token


def session_of(session: Session, token: str) -> BrowserSession | None:
    """The session a browser presents; None where it is unknown, over, or its key is."""
    query = (
        select(BrowserSession, APIKey)
        .outerjoin(APIKey, APIKey.id == BrowserSession.key_id)
        .where(BrowserSession.token_sha256 == _digest(token))
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, key = found
    over = row.ended_at is not None or row.expires_at <= now() or (key is not None and fault_of(key) is not None)
    return None if over else row


def end_session(session: Session, session_id: int, *, address: str, why: str = "signed_out") -> None:
    """Ending it again changes nothing."""
    row = session.get(BrowserSession, session_id, with_for_update=True)
    if row is None or row.ended_at is not None:
        return
    row.ended_at = now()
    record_event(
        session, "session.ended", subject=row.principal, actor=row.principal, address=address, why=why
    )  # fmt: skip


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
