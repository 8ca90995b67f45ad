"""Starts and stops of our processes are on record, even where the database comes later than the process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import select

from audit import life, schema
from audit.life import recorded_life
from audit.models import AuditEvent
from audit.session import Database


def events(database: Database) -> list[tuple[str, str, str | None]]:
    with database.read() as session:
        found = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        return [(event.kind, event.subject, event.data.get("reason")) for event in found]


def wait_for(database: Database, number: int) -> None:
    deadline = time.monotonic() + 10
    while len(events(database)) < number:
        assert time.monotonic() < deadline, "the event was not written"
        time.sleep(0.02)


def test_start_and_stop(database: Database) -> None:
    with recorded_life(database, "listener"):
        wait_for(database, 1)
    assert events(database) == [
        ("application.started", "listener", None),
        ("application.stopped", "listener", "signal"),
    ]


@pytest.mark.parametrize(
    ("raised", "reason"), [(SystemExit(0), "signal"), (SystemExit(3), "exit 3"), (ValueError("Ms X"), "ValueError")]
)
def test_the_reason_of_a_stop_quotes_nothing(database: Database, raised: BaseException, reason: str) -> None:
    with pytest.raises(type(raised)), recorded_life(database, "api"):
        raise raised
    assert events(database)[-1] == ("application.stopped", "api", reason)


def test_a_process_starts_without_its_database_and_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "_RETRY_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path}/later.db")
    began = time.monotonic()
    with recorded_life(database, "listener"):
        assert time.monotonic() - began < 1, "the start waited for the database"
        time.sleep(0.3)
        schema.upgrade(database)  # until now it had no table to write to
        wait_for(database, 1)
    assert [kind for kind, *_ in events(database)] == ["application.started", "application.stopped"]
