"""The head of the chain goes to a file once per interval, and the trail is verified once a day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from audit.anchors import ANCHOR, anchor_of_now, append_anchor, last_anchor, read_anchor_file
from audit.events import record_event
from audit.models import AuditEvent, EventReader
from audit.session import Database
from audit.turns import take_turn
from audit.verdicts import last_verdict
from tests.worker.rooms import rooms
from worker.anchoring import Anchoring, DailyVerification


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with rooms(tmp_path) as made:
        with made.database.write() as session:
            for number in range(3):
                record_event(session, "test.happened", number=number)
        yield made.database


def _long_ago(database: Database, *, lease_too: bool = False) -> None:
    with database.write() as session:
        lease = ", lease_until = '2020-01-01 00:00:00.000000'" if lease_too else ""
        session.execute(text(f"UPDATE event_readers SET at = '2020-01-01 00:00:00.000000'{lease}"))  # noqa: S608


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind)))


def test_one_anchor_per_interval_however_many_workers(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    workers = [Anchoring(database, path, 3600) for _ in range(3)]
    for worker in (*workers, *workers):
        worker()
    (line,) = path.read_text().splitlines()
    with database.read() as session:
        head = anchor_of_now(session)
        assert last_anchor(session) is not None
    assert json.loads(line) | {"at": ""} == {"at": "", "event_id": 3, "hash": head.hash, "events": 3}
    _long_ago(database)
    for worker in workers:
        worker()
    assert len(path.read_text().splitlines()) == 2


def test_a_worker_that_dies_with_the_turn_leaves_it_to_another(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    with database.write() as session:
        assert take_turn(session, ANCHOR, 3600, 300) is not None
        assert take_turn(session, ANCHOR, 3600, 300) is None
    Anchoring(database, path, 3600)()
    assert not path.exists()
    _long_ago(database, lease_too=True)
    Anchoring(database, path, 3600)()
    assert len(path.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_written_is_an_event_and_no_end(database: Database, tmp_path: Path) -> None:
    Anchoring(database, tmp_path / "no" / "anchors", 3600)()
    (event,) = _events(database, "anchor.failed")
    assert event.data == {"code": "FileNotFoundError"}
    with database.read() as session:
        assert last_anchor(session) is None


def test_a_torn_line_costs_one_anchor(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    with database.read() as session:
        anchor = anchor_of_now(session)
    append_anchor(path, anchor)
    with path.open("a") as file:
        file.write('{"at": "2026-')
    append_anchor(path, anchor)
    read = read_anchor_file(path)
    assert (read.found, read.unreadable) == ((anchor, anchor), 1)


def _verify(database: Database, path: Path | None) -> None:
    daily = DailyVerification(database, path)
    for _ in range(3):
        daily()


def test_the_trail_is_verified_once_a_day_and_the_verdict_is_an_event(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    Anchoring(database, path, 3600)()
    for _ in range(2):
        _verify(database, path)
    (event,) = _events(database, "chain.verified")
    assert (event.data["events"], event.data["anchors"]) == (3, 1)
    with database.read() as session:
        verdict = last_verdict(session)
    assert verdict is not None
    assert (verdict.whole, verdict.first_bad) == (True, None)


def test_a_broken_chain_is_told(database: Database) -> None:
    with database.write() as session:
        for trigger in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {trigger}"))
        session.execute(text("UPDATE audit_events SET actor = 'nobody' WHERE id = 2"))
    _verify(database, None)
    (event,) = _events(database, "chain.broken")
    assert event.data["first_bad"] == 2
    with database.read() as session:
        verdict = last_verdict(session)
    assert verdict is not None
    assert (verdict.whole, verdict.first_bad) == (False, 2)
    assert "was changed" in verdict.why


def test_a_verification_whose_turn_was_taken_over_ends_without_a_verdict(database: Database) -> None:
    daily = DailyVerification(database, None)
    daily._walk = daily._begin()
    with database.write() as session:
        session.get_one(EventReader, "verification").token = "f" * 32
    daily()
    assert _events(database, "chain.verified") == []
