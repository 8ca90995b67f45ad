"""API keys: made once, shown once, kept as a hash, revocable.

A key is ``pneumo_<prefix>_<secret>``. The prefix finds the row and may be shown; the secret is 256 random bits. A slow
password hash would add nothing: it defends guessable secrets, and nobody guesses 256 bits, however fast SHA-256 is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from audit.events import PROCESS, record_event
from audit.models import APIKey, now
from core.scopes import Scope

ANONYMOUS = "anonymous"
"""Names callers without credentials in the audit trail."""
_RESERVED = frozenset({ANONYMOUS, PROCESS})
KEY_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"
"""Names stand in addresses, where browsers take ``.`` and ``..`` for something else."""
_KEY = re.compile(r"pneumo_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


class KeyFault(StrEnum):
    """Why a key opens nothing: for our records. Whoever presented it is told none of this."""

    UNKNOWN = "unknown"
    """No key, none of ours, or its secret is wrong."""
    REVOKED = "revoked"
    EXPIRED = "expired"


def create_key(
    session: Session, name: str, actor: str, scopes: Collection[Scope], expires_at: datetime | None = None
) -> str:
    """The new key, which cannot be had again. Raises ValueError as ``add_key`` does."""
    return add_key(session, name, actor, scopes, expires_at)[1]


def add_key(
    session: Session, name: str, actor: str, scopes: Collection[Scope], expires_at: datetime | None = None
) -> tuple[APIKey, str]:
    """The row, and the new key.

    Raises:
        ValueError: the name is taken, also by a revoked key (events name their actor by it), or is no name; or the key
            could never be used.
    """
    if not re.fullmatch(KEY_NAME, name):
        raise ValueError(
            "a key's name is a letter or digit and then up to 63 letters, digits, blanks, dots, dashes or underscores, "
            f"got {name!r}"
        )
    if name in _RESERVED:
        raise ValueError(f"{name!r} is how the audit trail names a caller without a key; choose another name")
    if session.scalar(select(APIKey.id).where(APIKey.name == name)) is not None:
        raise ValueError(f"there is or was a key named {name!r}; choose another name, the audit trail tells keys by it")
    if not scopes:
        raise ValueError("a key needs at least one scope")
    if expires_at is not None and expires_at <= now():
        raise ValueError(f"the key would have expired at {expires_at:%Y-%m-%d %H:%M}; give a moment to come")
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    granted = sorted(set(scopes))
    key = APIKey(name=name, prefix=prefix, sha256=_digest(secret), scopes=granted, expires_at=expires_at)
    session.add(key)
    session.flush()
    record_event(
        session, "key.created", subject=name, actor=actor, prefix=prefix, scopes=granted,
        expires_at=expires_at.isoformat() if expires_at else None, fingerprint=fingerprint(key.sha256),
    )  # fmt: skip
    return key, f"pneumo_{prefix}_{secret}"


def revoke_key(session: Session, name: str, actor: str) -> APIKey:
    """From the commit on neither the key nor a session that was opened with it opens anything.

    Revoking it again changes nothing.

    Raises:
        ValueError: there is no key of this name.
    """
    key = session.scalar(select(APIKey).where(APIKey.name == name).with_for_update())
    if key is None:
        raise ValueError(f"there is no key named {name!r}; `pneumo keys list` shows all")
    if key.revoked_at is None:
        key.revoked_at = now()
        record_event(session, "key.revoked", subject=name, actor=actor, prefix=key.prefix)
    return key


def list_keys(session: Session) -> list[APIKey]:
    return list(session.scalars(select(APIKey).order_by(APIKey.id)))


def key_named(session: Session, name: str) -> APIKey | None:
    return session.scalar(select(APIKey).where(APIKey.name == name))


def key_of(session: Session, presented: str) -> APIKey | None:
    """The valid key a caller presents; None where it is unknown, wrong, revoked or expired."""
    found = look_up(session, presented)
    return found if isinstance(found, APIKey) else None


def look_up(session: Session, presented: str) -> APIKey | KeyFault:
    """The valid key a caller presents, or what is wrong with it."""
    parts = _KEY.fullmatch(presented)
    if parts is None:
        return KeyFault.UNKNOWN
    prefix, secret = parts.groups()
    key = session.scalar(select(APIKey).where(APIKey.prefix == prefix))
    # The secret is compared in any case: how long the answer takes tells nothing about which prefixes there are.
    right = hmac.compare_digest(key.sha256 if key else "0" * 64, _digest(secret))
    return fault_of(key) or key if key is not None and right else KeyFault.UNKNOWN


def fault_of(key: APIKey) -> KeyFault | None:
    """Why a key that is known opens nothing (any more); None while it is valid."""
    if key.revoked_at is not None:
        return KeyFault.REVOKED
    return KeyFault.EXPIRED if key.expires_at is not None and key.expires_at <= now() else None


def prefix_of(presented: str) -> str:
    """The part that may be shown; empty where this is no key."""
    parts = _KEY.fullmatch(presented)
    return parts[1] if parts else ""


def used_lately(key: APIKey) -> bool:
    """This minute's use is on record."""
    return key.last_used_at is not None and key.last_used_at >= _this_minute()


def note_use(session: Session, key: APIKey) -> None:
    """One of those who come at once in a new minute writes it, the others find nothing to do."""
    minute = _this_minute()
    not_noted = or_(APIKey.last_used_at.is_(None), APIKey.last_used_at < minute)
    session.execute(update(APIKey).where(APIKey.id == key.id, not_noted).values(last_used_at=minute))


def _this_minute() -> datetime:
    return now().replace(second=0, microsecond=0)


def fingerprint(sha256: str) -> str:
    """Of what is kept of a key: tells that it was exchanged, and opens nothing."""
    return _digest(sha256)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
