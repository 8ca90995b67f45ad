from __future__ import annotations

from datetime import datetime, timedelta

import httpx
from sqlalchemy import select, update

from audit.api_keys import create_key
from audit.models import APIKey, AuditEvent, now
from audit.session import Database
from core.scopes import Scope
from tests.api.conftest import StartAPI
from tests.audit.databases import counted_statements


def _as(client: httpx.Client, database: Database, *scopes: Scope) -> dict[str, str]:
    with database.write() as session:
        return {"X-API-Key": create_key(session, "-".join(scopes).replace(":", "."), "cli:test", scopes)}


def test_a_key_is_made_shown_once_listed_used_and_revoked(api: httpx.Client, database: Database) -> None:
    tomorrow = (now() + timedelta(days=1)).replace(microsecond=0)
    made = api.post("/v1/keys", json={"name": "script 1", "scopes": ["audit:read"], "expires_at": tomorrow.isoformat()})
    assert made.status_code == 201
    key = made.json()["key"]
    assert key.startswith(f"pneumo_{made.json()['prefix']}_")
    assert api.get("/v1/events", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    answer = api.get("/v1/keys")
    assert key[16:] not in answer.text
    (row,) = [item for item in answer.json()["items"] if item["name"] == "script 1"]
    assert (row["scopes"], row["state"]) == (["audit:read"], "valid")
    assert datetime.fromisoformat(row["expires_at"]) == tomorrow
    assert now() - datetime.fromisoformat(row["last_used_at"]) < timedelta(minutes=2)
    for _ in range(2):
        revoked = api.post("/v1/keys/script 1/revoke")
        assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert api.get("/v1/events", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    with database.read() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject == "script 1").order_by(AuditEvent.id))
        assert [(event.kind, event.actor) for event in events] == [("key.created", "tester"), ("key.revoked", "tester")]


def test_nobody_grants_what_they_do_not_have(start_api: StartAPI, database: Database) -> None:
    client = start_api()
    keeper = _as(client, database, Scope.ADMIN, Scope.AUDIT_READ)
    beyond = client.post("/v1/keys", json={"name": "x", "scopes": ["phi:read", "admin"]}, headers=keeper)
    assert (beyond.status_code, beyond.json()["code"]) == (403, "scope_missing")
    assert "phi:read" in beyond.json()["detail"]
    assert client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}, headers=keeper).status_code == 201
    assert client.post("/v1/keys", json={"name": "by default"}, headers=keeper).json()["scopes"] == ["audit:read"]
    only_admin = _as(client, database, Scope.ADMIN)
    assert client.post("/v1/keys", json={"name": "y"}, headers=only_admin).status_code == 403


def test_mistakes_are_explained(api: httpx.Client) -> None:
    assert api.post("/v1/keys", json={"name": "tester"}).json()["code"] == "conflict"
    for wrong in (
        {}, {"name": ""}, {"name": "x" * 65}, {"name": "a/b"}, {"name": "x", "scopes": []}, {"name": "anonymous"},
        {"name": "x", "scopes": ["root"]}, {"name": "x", "expires_at": "2020-01-01"}, {"name": "x", "more": 1},
    ):  # fmt: skip
        answer = api.post("/v1/keys", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), wrong
    assert api.post("/v1/keys/nobody/revoke").status_code == 404
    assert api.post("/v1/keys/%00/revoke").status_code == 422


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(api: httpx.Client, database: Database) -> None:
    keys = {name: api.post("/v1/keys", json={"name": name}).json()["key"] for name in ("revoked", "expired")}
    api.post("/v1/keys/revoked/revoke")
    with database.write() as session:
        session.execute(update(APIKey).where(APIKey.name == "expired").values(expires_at=now()))
    wrong = [*keys.values(), keys["expired"][:-1], "pneumo_00000000_" + "A" * 43, "nonsense"]
    answers = [api.get("/v1/events", headers={"Authorization": f"Bearer {key}"}) for key in wrong]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [answer.json() | {"request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    with database.read() as session:
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.kind == "api.refused").order_by(AuditEvent.id)
        ).all()
    assert [(event.data["why"], event.data.get("prefix")) for event in events] == [
        ("key_revoked", keys["revoked"][7:15]),
        ("key_expired", keys["expired"][7:15]),
        ("key_unknown", None),
        ("key_unknown", "00000000"),
    ]


def test_the_use_of_a_key_is_noted_once_a_minute(api: httpx.Client, database: Database) -> None:
    api.get("/v1/events")
    with counted_statements(database.engine) as statements:
        api.get("/v1/events")
    assert not [statement for statement in statements if statement.startswith("UPDATE")]
    with database.write() as session:
        session.execute(update(APIKey).values(last_used_at=now() - timedelta(minutes=1)))
    with counted_statements(database.engine) as statements:
        api.get("/v1/events")
    assert len([statement for statement in statements if statement.startswith("UPDATE")]) == 1
    with database.read() as session:
        used = session.scalars(select(APIKey.last_used_at)).one()
    assert used is not None
    assert (used.second, used.microsecond) == (0, 0)
    assert used <= now()
