"""API keys: made once, shown once, kept as a hash, revocable.

A key is ``pneumo_<prefix>_<secret>``. The prefix finds the row and may be shown; the secret is 256 random bits. A slow
password hash would add nothing: it defends guessable secrets, and nobody guesses 256 bits, however fast SHA-256 is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.models import APIKey, now

_NAME = re.compile(r"[A-Za-z0-9 ._-]{1,64}")
_KEY = re.compile(r"pneumo_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


def create_key(session: Session, name: str, actor: str) -> str:
    """The new key, which cannot be had again.

    Raises:
        ValueError: the name is taken, also by a revoked key (events name their actor by it), or is no name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key's name has 1 to 64 letters, digits, blanks, dots, dashes or underscores, got {name!r}")
    if session.scalar(select(APIKey.id).where(APIKey.name == name)) is not None:
        raise ValueError(f"there is or was a key named {name!r}; choose another name, the audit trail tells keys by it")
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    session.add(APIKey(name=name, prefix=prefix, sha256=_digest(secret)))
    record_event(session, "key.created", subject=name, actor=actor, prefix=prefix)
    return f"pneumo_{prefix}_{secret}"


def revoke_key(session: Session, name: str, actor: str) -> None:
    """From the commit on the key opens nothing. Revoking it again changes nothing.

    Raises:
        ValueError: there is no key of this name.
    """
    key = session.scalar(select(APIKey).where(APIKey.name == name).with_for_update())
    if key is None:
        raise ValueError(f"there is no key named {name!r}; `pneumo keys list` shows all")
    if key.revoked_at is None:
        key.revoked_at = now()
        record_event(session, "key.revoked", subject=name, actor=actor, prefix=key.prefix)


def list_keys(session: Session) -> list[APIKey]:
    return list(session.scalars(select(APIKey).order_by(APIKey.id)))


def name_of_key(session: Session, presented: str) -> str | None:
    """The name of the valid key a caller presents; None where it is unknown, wrong or revoked."""
    parts = _KEY.fullmatch(presented)
    if parts is None:
        return None
    prefix, secret = parts.groups()
    key = session.scalar(select(APIKey).where(APIKey.prefix == prefix, APIKey.revoked_at.is_(None)))
    if key is None or not hmac.compare_digest(key.sha256, _digest(secret)):
        return None
    return key.name


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
