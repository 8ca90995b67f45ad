from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import select, update

from audit.alerts import AlertCode, Condition, acknowledge, find_alerts, open_alerts, settle_alerts
from audit.anchors import ANCHOR
from audit.conditions import Watched, find_conditions
from audit.dead_letters import count_dead_letters
from audit.deliveries import ERASED, RECALLED, claim_deliveries, mark_dead, retry_delivery
from audit.events import record_event
from audit.heartbeats import beat
from audit.models import Alert, AuditEvent, Delivery, Heartbeat, Job, now
from audit.session import Database
from audit.today import read_today
from audit.turns import end_turn, take_turn
from audit.witnessed import SYSLOG, read_place
from core.audit_settings import AlertSettings
from tests.audit.rows import analysed, book, not_analysed, report

_SETTINGS = AlertSettings(not_analysed_minimum=2)
_DOWN = Condition(AlertCode.PACS_DOWN, "main-pacs", "4 results could not be sent.")


def _watched(**changes: object) -> Watched:
    values: dict[str, object] = {
        "queues": (), "heartbeat_seconds": 90, "free_bytes": None, "reserve_bytes": 2**30, "witnesses": {},
    }  # fmt: skip
    return Watched(**(values | changes))  # type: ignore[arg-type]


def _found(database: Database, **changes: object) -> list[tuple[str, str]]:
    with database.read() as session:
        conditions = find_conditions(session, _SETTINGS, _watched(**changes))
    assert all(condition.detail.endswith(".") for condition in conditions)
    return [(condition.code.value, condition.subject) for condition in conditions]


def _kinds(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent.kind).where(AuditEvent.kind.like("alert.%")).order_by("id")))


def test_an_alert_lasts_as_long_as_its_condition(database: Database) -> None:
    with database.write() as session:
        settle_alerts(session, [_DOWN])
    worse = Condition(_DOWN.code, _DOWN.subject, "5 results could not be sent.")
    with database.write() as session:
        settle_alerts(session, [worse])
        (alert,) = open_alerts(session)
        assert alert.detail == worse.detail
    with database.write() as session:
        settle_alerts(session, [])
    with database.write() as session:
        assert open_alerts(session) == []
        settle_alerts(session, [_DOWN])
    with database.read() as session:
        again, over = find_alerts(session, limit=5)
        assert (again.closed_at, over.id) == (None, alert.id)
        assert over.closed_at is not None
        assert find_alerts(session, limit=5, before_id=again.id) == [over]
    assert _kinds(database) == ["alert.opened", "alert.closed", "alert.opened"]


def test_processes_that_look_at_once_open_one_alert(database: Database) -> None:
    start = Barrier(6)

    def look() -> None:
        start.wait()
        with database.write() as session:
            settle_alerts(session, [_DOWN])

    threads = [Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(session.scalars(select(Alert)).all()) == 1
    assert _kinds(database) == ["alert.opened"]


def test_somebody_knows(database: Database) -> None:
    with database.write() as session:
        settle_alerts(session, [_DOWN])
        (alert,) = open_alerts(session)
        assert acknowledge(session, alert.id + 1, "on-call", "") is None
        known = acknowledge(session, alert.id, "on-call", "The PACS is being updated.")
        assert known is not None
        assert (known.acknowledged_by, known.note) == ("on-call", "The PACS is being updated.")
    with database.write() as session:
        settle_alerts(session, [_DOWN])
        (still,) = open_alerts(session)
        assert still.acknowledged_by == "on-call"
        event = session.scalars(select(AuditEvent).where(AuditEvent.kind == "alert.acknowledged")).one()
        assert (event.actor, event.subject, "note" in event.data) == ("on-call", "main-pacs", False)


def test_a_calm_house_has_none(database: Database) -> None:
    analysed(database)
    report(database)
    assert _found(database) == []


def test_an_image_that_waits(database: Database) -> None:
    book(database)
    assert _found(database) == []
    with database.write() as session:
        session.execute(update(Job).values(created_at=now() - timedelta(seconds=601)))
    assert _found(database) == [("image_waiting", "")]


@pytest.fixture
def sending(database: Database) -> Database:
    """Results that have been due for an hour."""
    analysed(database)
    report(database)
    with database.write() as session:
        session.execute(update(Delivery).values(first_due_at=now() - timedelta(hours=1)))
    return database


def test_a_pacs_that_takes_nothing(sending: Database) -> None:
    assert _found(sending) == [], "nobody has tried yet: that is the silent worker's alert"
    with sending.write() as session:
        for delivery in claim_deliveries(session, 10, 60):
            retry_delivery(session, delivery, "connection_refused", None, 0)
    assert _found(sending) == [("pacs_down", "pacs")]


def test_results_given_up(sending: Database) -> None:
    with sending.write() as session:
        for delivery in claim_deliveries(session, 10, 60):
            mark_dead(session, delivery, "sop_class_not_supported", 0x0122)
    assert _found(sending) == [("dead_letters", "pacs")]


@pytest.mark.parametrize("ended", [RECALLED, ERASED])
def test_what_a_recall_or_an_erasure_ended_is_nobody_s_task(sending: Database, ended: str) -> None:
    with sending.write() as session:
        for delivery in claim_deliveries(session, 10, 60):
            mark_dead(session, delivery, ended, None)
    assert _found(sending) == []
    with sending.read() as session:
        assert count_dead_letters(session, None) == 0
        assert read_today(session, now() - timedelta(hours=2)).destinations == ()


def test_results_that_are_never_confirmed(sending: Database) -> None:
    with sending.write() as session:
        session.execute(update(Delivery).values(state="sent", sent_at=now(), last_error="unconfirmed"))
    assert _found(sending) == [("unconfirmed", "pacs")]


def test_a_source_whose_images_are_refused(database: Database) -> None:
    analysed(database, not_analysed("lateral_view"))
    assert _found(database) == [], "one image is not enough to say so"
    analysed(database, not_analysed("lateral_view"))
    assert _found(database) == [("refusal_rate", "room-1")]


def test_workers(database: Database) -> None:
    with database.write() as session:
        beat(session, "inference", "a")
        session.add(Heartbeat(queue="delivery", worker="a", at=now() - timedelta(seconds=100)))
    queues = ("inference", "delivery", "other")
    assert _found(database, queues=queues) == [("worker_silent", "delivery"), ("worker_silent", "other")]


def test_the_disk(database: Database) -> None:
    assert _found(database, free_bytes=2**31) == []
    assert _found(database, free_bytes=2**31 - 1) == [("disk_low", "spool")]


def test_a_witness_who_is_told_nothing(database: Database) -> None:
    assert _found(database, witnesses={SYSLOG: 0, ANCHOR: 0}) == [], "there is nothing to tell"
    with database.write() as session:
        record_event(session, "application.started")
    assert _found(database, witnesses={SYSLOG: 60}) == []
    behind = {SYSLOG: 0, ANCHOR: 0}
    assert _found(database, witnesses=behind) == [("witness_behind", SYSLOG), ("witness_behind", ANCHOR)]
    with database.write() as session:
        token = take_turn(session, SYSLOG, 0, 60)
        assert token is not None
        end_turn(session, SYSLOG, token, read_place(session, SYSLOG)[1])
    assert _found(database, witnesses=behind) == [("witness_behind", ANCHOR)]


def test_the_chain(database: Database) -> None:
    with database.write() as session:
        record_event(session, "chain.broken", subject="17")
    assert _found(database) == [("chain_broken", "")]
    with database.write() as session:
        record_event(session, "chain.verified")
    assert _found(database) == []
