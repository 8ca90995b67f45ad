"""Whoever changes, removes or inserts anything is found out, and the first bad row is named."""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from audit.chain import GENESIS, digest
from audit.events import record_event
from audit.models import AuditEvent, now
from audit.session import Database
from audit.verification import Verification
from tests.audit.tampering import anchor, rewritten_hash, tamper, tampered, verify

EVENTS = 6


@pytest.fixture
def chained(database: Database) -> Database:
    for number in range(1, EVENTS + 1):
        with database.write() as session:
            record_event(session, "test.happened", subject=f"1.2.{number}", number=number, share=number / 7)
    return database


def _found(database: Database, event_id: int | None, words: str) -> None:
    fault = verify(database).first_bad
    assert fault is not None, "nothing was found"
    assert (fault.id, words in fault.why) == (event_id, True), fault


def test_an_untouched_chain_is_whole(chained: Database) -> None:
    found = verify(chained, anchor(chained))
    assert (found.whole, found.events, found.anchors) == (True, EVENTS, 1)
    assert found.head is not None
    assert (found.head.event_id, found.head.events) == (EVENTS, EVENTS)


def test_what_comes_while_it_walks_is_left_to_the_next(chained: Database) -> None:
    walk = Verification(chained, [anchor(chained)])
    with chained.write() as session:
        record_event(session, "test.happened")
    while walk.step():
        pass
    assert (walk.findings().whole, walk.findings().events) == (True, EVENTS)


def test_an_empty_trail_is_whole(database: Database) -> None:
    assert verify(database).whole


def test_a_changed_event_is_named(chained: Database) -> None:
    for event_id, change in (
        (1, "kind = 'test.other'"), (2, "subject = '1.2.99'"), (3, "actor = 'nobody'"),
        (4, "at = '2020-01-01 00:00:00.000000'"), (EVENTS, """data = '{"number": 99}'"""),
        (3, "hash = '" + "1" * 64 + "'"), (1, "previous = '" + "2" * 64 + "'"),
    ):  # fmt: skip
        with tampered(chained, "audit_events", event_id, change):
            _found(chained, event_id, "was changed")
    assert verify(chained).whole


def test_a_removed_event_is_named(chained: Database) -> None:
    for event_id in (EVENTS, 3, 1):  # each comes before the one that was found last
        tamper(chained, f"DELETE FROM audit_events WHERE id = {event_id}")
        _found(chained, event_id, "is missing")


def test_all_events_removed(chained: Database) -> None:
    tamper(chained, "DELETE FROM audit_events")
    _found(chained, 1, "is missing")


def test_an_event_that_was_changed_with_its_hash_is_named(chained: Database) -> None:
    for event_id in (EVENTS, 3, 1):  # each comes before the one that was found last
        forged = rewritten_hash(chained, event_id, actor="nobody")
        tamper(chained, f"UPDATE audit_events SET actor = 'nobody', hash = '{forged}' WHERE id = {event_id}")
        _found(chained, event_id, "was changed")


def _insert(database: Database, event_id: int, previous: str) -> None:
    """An event that fits the one before it."""
    row = {"id": event_id, "at": now(), "kind": "test.forged", "subject": "", "actor": "nobody", "data": {}}
    event = AuditEvent(**row, previous=previous, hash="")
    with database.write() as session:
        event.hash = digest(event)
        session.add(event)


def _hash_of(database: Database, event_id: int) -> str:
    with database.read() as session:
        return session.get_one(AuditEvent, event_id).hash


def test_an_inserted_event_is_named(chained: Database) -> None:
    _insert(chained, EVENTS + 1, _hash_of(chained, EVENTS))  # after the end: needs no trick, and the head tells
    _found(chained, EVENTS + 1, "inserted")


def test_an_event_inserted_before_the_first_is_named(chained: Database) -> None:
    _insert(chained, 0, GENESIS)
    _found(chained, 0, "was inserted")


def test_an_event_inserted_into_a_gap_is_named(chained: Database) -> None:
    """Ids of before the chain have gaps; an event put into one fits the one before it, and the next does not fit it."""
    with chained.write() as session:
        record_event(session, "test.happened")
    number = EVENTS + 1
    later = rewritten_hash(chained, number, id=number + 1)
    tamper(
        chained,
        f"UPDATE audit_events SET id = {number + 1}, hash = '{later}' WHERE id = {number}",
        f"UPDATE chain_head SET event_id = {number + 1}, hash = '{later}'",
    )
    assert verify(chained).whole, "a gap alone is no fault"
    _insert(chained, number, _hash_of(chained, EVENTS))
    _found(chained, number, "was inserted")


def test_a_head_that_was_changed_or_removed_is_found(chained: Database) -> None:
    tamper(chained, "UPDATE chain_head SET hash = '" + "3" * 64 + "'")
    _found(chained, EVENTS, "hashes differ")
    tamper(chained, f"UPDATE chain_head SET event_id = {EVENTS - 1}, hash = '{_hash_of(chained, EVENTS - 1)}'")
    _found(chained, EVENTS, "head was moved back")
    tamper(chained, f"UPDATE chain_head SET event_id = {EVENTS}, hash = '{_hash_of(chained, EVENTS)}', events = 99")
    _found(chained, None, "counts 99 events, there are 6")
    tamper(chained, "DELETE FROM chain_head")
    _found(chained, None, "head of the chain is missing")


def _cut_off(database: Database, last: int) -> None:
    """A forger who knows how the head works."""
    tamper(
        database,
        f"DELETE FROM audit_events WHERE id > {last}",
        f"UPDATE chain_head SET event_id = {last}, hash = '{_hash_of(database, last)}', events = {last}",
    )


def test_only_an_anchor_shows_that_the_end_was_cut_off(chained: Database) -> None:
    early = anchor(chained)
    with chained.write() as session:
        record_event(session, "test.happened")
    late = anchor(chained)
    _cut_off(chained, EVENTS)
    assert verify(chained, early).whole, "the chain is whole in itself"
    fault = verify(chained, early, late).first_bad
    assert fault is not None
    assert fault.id == EVENTS + 1
    assert "the chain ends before it" in fault.why
    with chained.write() as session:
        record_event(session, "test.other")
    fault = verify(chained, early, late).first_bad
    assert fault is not None
    assert fault.id == EVENTS + 1
    assert "is not what the anchor of" in fault.why


def test_anchors_that_go_back_are_found(chained: Database) -> None:
    early = anchor(chained)
    with chained.write() as session:
        record_event(session, "test.happened")
    fault = verify(chained, anchor(chained), early).first_bad
    assert fault is not None
    assert "the chain was moved back" in fault.why


@pytest.mark.parametrize("verb", ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"])
def test_the_database_refuses_to_change_or_remove_events(chained: Database, verb: str) -> None:
    with pytest.raises(DBAPIError, match="only ever added"), chained.write() as session:
        session.connection().exec_driver_sql(verb)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL has no REPLACE
@pytest.mark.parametrize("statement", ["INSERT OR REPLACE INTO", "REPLACE INTO"])
def test_sqlite_refuses_to_put_an_event_in_place_of_another(chained: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="only ever added: REPLACE refused"), chained.write() as session:
        session.connection().exec_driver_sql(f"{statement} audit_events SELECT * FROM audit_events WHERE id = 3")
    assert verify(chained).whole


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has no TRUNCATE
def test_postgresql_refuses_to_empty_the_table(chained: Database) -> None:
    with pytest.raises(DBAPIError, match="TRUNCATE refused"), chained.write() as session:
        session.connection().exec_driver_sql("TRUNCATE audit_events")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL keeps such values out
def test_an_event_that_cannot_be_read_any_more_is_named(chained: Database) -> None:
    tamper(chained, "UPDATE audit_events SET data = '{' WHERE id = 2", "UPDATE audit_events SET at = 'x' WHERE id = 4")
    _found(chained, 2, "cannot be read")
