from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from audit.api_keys import create_key, key_of, list_keys, revoke_key
from audit.models import APIKey, AuditEvent
from audit.session import Database
from core.scopes import Scope


def _create(database: Database, name: str = "reader") -> str:
    with database.write() as session:
        return create_key(session, name, "cli:someone", list(Scope))


def _name(database: Database, presented: str) -> str | None:
    with database.read() as session:
        key = key_of(session, presented)
        return key.name if key else None


def test_a_key_opens_and_only_its_hash_is_kept(database: Database) -> None:
    key = _create(database)
    assert _name(database, key) == "reader"
    with database.read() as session:
        row = session.scalars(select(APIKey)).one()
        assert key.startswith(f"pneumo_{row.prefix}_")
        assert key.rsplit("_", 1)[1] not in (row.sha256, row.prefix, row.name)
        (event,) = session.scalars(select(AuditEvent).where(AuditEvent.kind == "key.created"))
        assert (event.subject, event.actor, event.data) == (
            "reader",
            "cli:someone",
            {
                "prefix": row.prefix, "scopes": sorted(Scope), "expires_at": None,
                "fingerprint": hashlib.sha256(row.sha256.encode()).hexdigest(),
            },
        )  # fmt: skip


def test_a_wrong_key_opens_nothing(database: Database) -> None:
    key, other = _create(database), _create(database, "other")
    prefix_of_other = other[:16]
    for wrong in ("", "pneumo", key[:-1], key + "x", key[:-1] + ("A" if key[-1] != "A" else "B"), key.upper(),
                  prefix_of_other + key[16:], "pneumo_00000000_" + key[16:], "\x00" * 59, "ä" + key[1:]):  # fmt: skip
        assert _name(database, wrong) is None, wrong


def test_a_revoked_key_opens_nothing_and_its_name_is_used_up(database: Database) -> None:
    key = _create(database)
    for _ in range(2):
        with database.write() as session:
            revoke_key(session, "reader", "cli:someone")
    assert _name(database, key) is None
    with pytest.raises(ValueError, match="there is or was a key named 'reader'"):
        _create(database)
    with database.read() as session:
        assert len(session.scalars(select(AuditEvent).where(AuditEvent.kind == "key.revoked")).all()) == 1
        assert [row.revoked_at is not None for row in list_keys(session)] == [True]


def test_names_are_checked(database: Database) -> None:
    for name in ("", ".", "..", " x", "x" * 65, "line\nbreak", "reader\x00"):
        with pytest.raises(ValueError, match="a key's name is a letter or digit"):
            _create(database, name)
    with pytest.raises(ValueError, match="no key named 'nobody'"), database.write() as session:
        revoke_key(session, "nobody", "cli:someone")
