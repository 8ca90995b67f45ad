from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from audit.api_keys import key_of, note_use
from audit.deliveries import claim_deliveries, mark_dead
from audit.models import APIKey, AuditEvent
from audit.schema import upgrade
from audit.session import Database
from cli import delivery_commands, key_commands
from core.errors import ConfigurationError
from core.scopes import Scope
from tests.audit.rows import analysed, report


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands find their state: nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PNEUMO_CONFIG", raising=False)
    monkeypatch.delenv("PNEUMO_DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{home / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


def _keys(*arguments: str) -> Result:
    return CliRunner().invoke(key_commands.app, arguments)


def _deliveries(*arguments: str) -> Result:
    return CliRunner().invoke(delivery_commands.app, arguments)


def test_a_database_without_its_schema_is_said_so(home: Path) -> None:
    failure = _keys("list").exception
    assert isinstance(failure, ConfigurationError)
    assert "schema is empty and should be" in str(failure)
    assert "pneumo migrate" in str(failure)


def test_a_key_is_made_listed_and_revoked(database: Database) -> None:
    made = _keys("create", "grafana")
    assert made.exit_code == 0
    key = made.stdout.strip()
    with database.read() as session:
        row = key_of(session, key)
        assert row is not None
        assert row.name == "grafana"
        event = session.query(AuditEvent).one()
        assert event.actor.startswith("cli:")
    (listed,) = json.loads(_keys("list", "--json").stdout)["keys"]
    assert (listed["name"], listed["revoked_at"]) == ("grafana", None)
    assert key.startswith(f"pneumo_{listed['prefix']}_")
    assert key not in _keys("list").stdout
    assert _keys("revoke", "grafana").exit_code == 0
    with database.read() as session:
        assert key_of(session, key) is None


def test_a_key_as_json(database: Database) -> None:
    made = json.loads(_keys("create", "grafana", "--json").stdout)
    assert made["name"] == "grafana"
    assert made["key"].startswith("pneumo_")


def test_a_key_has_the_scopes_and_the_end_it_was_made_with(database: Database) -> None:
    plain = json.loads(_keys("create", "plain", "--json").stdout)
    assert (plain["scopes"], plain["expires_at"]) == (["audit:read"], None)
    made = json.loads(
        _keys("create", "script", "--scope", "phi:read", "--scope", "audit:read", "--expires", "90d", "--json").stdout
    )
    assert made["scopes"] == ["audit:read", "phi:read"]
    assert timedelta(days=89) < datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC) <= timedelta(days=90)
    dated = json.loads(_keys("create", "dated", "--expires", "2999-01-31", "--json").stdout)
    assert dated["expires_at"] == "2999-01-31T00:00:00+00:00"
    _keys("revoke", "dated")
    with database.write() as session:
        session.execute(update(APIKey).where(APIKey.name == "script").values(expires_at=datetime.now(UTC)))
        note_use(session, session.scalars(select(APIKey).where(APIKey.name == "plain")).one())
    listed = {row["name"]: row for row in json.loads(_keys("list", "--json").stdout)["keys"]}
    assert {name: row["state"] for name, row in listed.items()} == {
        "plain": "valid", "script": "expired", "dated": "revoked",
    }  # fmt: skip
    assert listed["plain"]["last_used_at"] is not None
    assert listed["dated"]["last_used_at"] is None
    for wrong in (("--scope", "root"), ("--expires", "soon"), ("--expires", "2020-01-01"), ("--expires", "0d")):
        assert _keys("create", "wrong", *wrong).exit_code == 2, wrong
    assert all(scope in _keys("create", "--help").stdout for scope in Scope)


def test_mistakes_with_keys_are_explained(database: Database) -> None:
    _keys("create", "grafana")
    again, unknown = _keys("create", "grafana"), _keys("revoke", "nobody")
    assert (again.exit_code, unknown.exit_code) == (2, 2)
    assert "there is or was a key" in again.stderr
    assert "there is no key named" in unknown.stderr


def test_deliveries_are_listed_and_requeued(database: Database) -> None:
    analysed(database, destinations=("pacs", "archive"))
    report(database)
    with database.write() as session:
        for job in claim_deliveries(session, 1, 60):
            mark_dead(session, job, "sop_class_not_supported", 0x0122)
    (dead,) = json.loads(_deliveries("list", "--state", "dead", "--json").stdout)["deliveries"]
    assert (dead["state"], dead["last_status"], dead["last_error"]) == ("dead", "0x0122", "sop_class_not_supported")
    assert len(json.loads(_deliveries("list", "--destination", "archive", "--json").stdout)["deliveries"]) == 2
    table = _deliveries("list").stdout
    assert table.count("pacs") == 2
    assert "dead" in table

    assert json.loads(_deliveries("requeue", "--state", "dead", "--json").stdout) == {"requeued": [dead["id"]]}
    assert json.loads(_deliveries("list", "--state", "dead", "--json").stdout) == {"deliveries": []}
    assert _deliveries("requeue", "--id", str(dead["id"])).stdout.startswith("1 requeued")


def test_requeueing_asks_which(database: Database) -> None:
    analysed(database)
    refused = _deliveries("requeue", "--destination", "pacs")
    assert refused.exit_code == 2
    assert "say which" in refused.stderr
