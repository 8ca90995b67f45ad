from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from audit.alerts import AlertCode, Condition, acknowledge, open_alerts, settle_alerts
from audit.deliveries import claim_deliveries, mark_dead, mark_sent
from audit.heartbeats import beat
from audit.models import Instance, Prediction
from audit.session import Database
from audit.today import read_today
from core.records import DeliveryState, Outcome
from tests.audit.databases import counted_statements
from tests.audit.rows import analysed, book, not_analysed, positive, report

_MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def _arrived(database: Database, uid: str, hours: float, seconds: float = 0) -> None:
    """Received so long after midnight, and answered so long after that."""
    at = _MIDNIGHT + timedelta(hours=hours)
    with database.write() as session:
        session.execute(update(Instance).where(Instance.sop_instance_uid == uid).values(received_at=at))
        instance = session.query(Instance).filter_by(sop_instance_uid=uid).one()
        answered = at + timedelta(seconds=seconds)
        session.execute(update(Prediction).where(Prediction.instance_id == instance.id).values(created_at=answered))


def test_images_by_the_hour_they_came_in(database: Database) -> None:
    for place, (hours, analysis) in enumerate(
        [(-1, positive()), (0, positive()), (8.2, positive(0.1)), (8.9, not_analysed("colour")), (9.5, positive())]
    ):
        (image,) = analysed(database, analysis)
        _arrived(database, image.sop_instance_uid, hours, seconds=1 + place)
    waiting = book(database)
    _arrived(database, waiting.sop_instance_uid, 9.1)

    with database.read() as session:
        today = read_today(session, _MIDNIGHT)
    assert [(hour.number, hour.received, hour.outcomes, hour.waiting) for hour in today.hours] == [
        (0, 1, {Outcome.POSITIVE: 1}, 0),
        (8, 2, {Outcome.NEGATIVE: 1, Outcome.NOT_ANALYSED: 1}, 0),
        (9, 2, {Outcome.POSITIVE: 1}, 1),
    ]
    assert (today.received, today.waiting) == (5, 1)
    assert today.outcomes == {Outcome.POSITIVE: 2, Outcome.NEGATIVE: 1, Outcome.NOT_ANALYSED: 1}
    assert today.latency_median == pytest.approx(3, abs=0.01)
    assert today.latency_p95 == pytest.approx(4, abs=0.01)


def test_what_was_withdrawn_counts_no_more(database: Database) -> None:
    (image,) = analysed(database)
    _arrived(database, image.sop_instance_uid, 1, seconds=1)
    with database.write() as session:
        session.execute(update(Prediction).values(recalled_at=_MIDNIGHT))
    with database.read() as session:
        today = read_today(session, _MIDNIGHT)
    assert (today.received, today.outcomes, today.latency_median) == (1, {}, None)


def test_deliveries_alerts_and_workers(database: Database) -> None:
    for _ in range(3):
        analysed(database, destinations=("pacs",))
    report(database)
    with database.write() as session:
        dead, sent, confirmed = claim_deliveries(session, 3, 60)
        mark_dead(session, dead, "no_answer", None)
        mark_sent(session, sent, 0)
        mark_sent(session, confirmed, 0, confirmed=True)
        beat(session, "inference", "worker-1")
        settle_alerts(
            session, [Condition(AlertCode.DISK_LOW, "", "Full."), Condition(AlertCode.PACS_DOWN, "pacs", "Down.")]
        )
        session.flush()
        acknowledge(session, open_alerts(session)[0].id, "on-call", "")
    with database.read() as session:
        today = read_today(session, datetime.now(UTC) - timedelta(hours=2))
        tomorrow = read_today(session, datetime.now(UTC) + timedelta(hours=2))
    (pacs,) = today.destinations
    assert pacs.states == {
        DeliveryState.PENDING: 3,
        DeliveryState.DEAD: 1,
        DeliveryState.SENT: 1,
        DeliveryState.CONFIRMED: 1,
    }
    assert (pacs.pending, pacs.dead) == (3, 1)
    assert (today.alerts_open, today.alerts_unacknowledged) == (2, 1)
    assert today.heartbeats.keys() == {"inference"}
    (later,) = tomorrow.destinations
    assert (later.states, later.pending, later.dead) == ({}, 3, 1), "what still waits is no matter of the day"


def test_the_day_is_a_fixed_number_of_statements(database: Database) -> None:
    analysed(database)
    with counted_statements(database.engine) as few, database.read() as session:
        read_today(session, _MIDNIGHT)
    for _ in range(5):
        analysed(database)
    with counted_statements(database.engine) as many, database.read() as session:
        read_today(session, _MIDNIGHT)
    assert len(few) == len(many)
