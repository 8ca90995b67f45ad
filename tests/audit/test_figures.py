from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from audit.deliveries import ERASED, claim_deliveries, mark_dead, mark_sent
from audit.figures import Figures, heartbeat_ages, read_figures
from audit.models import Delivery, Heartbeat, Job, now
from audit.session import Database
from tests.audit.rows import analysed, book, not_analysed, received, report


def _figures(database: Database) -> Figures:
    with database.read() as session:
        return read_figures(session)


def test_an_empty_database_has_figures_too(database: Database) -> None:
    assert _figures(database) == Figures({}, {}, {}, {}, {}, {}, (), 0, 0, 0.0, {}, {}, {})


def test_everything_is_counted(database: Database) -> None:
    analysed(database, instances=[received(), received(source="room-2")], destinations=("pacs", "archive"))
    analysed(database, not_analysed("lateral_view"))
    report(database)
    with database.write() as session:
        mark_sent(session, claim_deliveries(session, 1, 60)[0], 0x0000)
        session.execute(
            update(Delivery).where(Delivery.destination == "archive").values(first_due_at=now() - timedelta(hours=1))
        )
    book(database)
    with database.write() as session:
        session.execute(update(Job).values(created_at=now() - timedelta(seconds=50)))
    figures = _figures(database)
    assert figures.instances == {"room-1": 3, "room-2": 1}
    assert figures.predictions == {
        ("positive", "mobilenet_v2", "1.0.0", "room-1"): 1,
        ("positive", "mobilenet_v2", "1.0.0", "room-2"): 1,
        ("not_analysed", "mobilenet_v2", "1.0.0", "room-1"): 1,
    }
    assert figures.latency.keys() == {0.5, 0.95}
    assert sum(figures.deliveries.values()) == 10
    assert figures.deliveries["sent", "pacs"] == 1
    assert figures.events["instance.received"] == 4
    assert (figures.jobs_pending, figures.studies_waiting) == (1, 1)
    assert figures.oldest_unanalysed_age == pytest.approx(50, abs=20)
    assert figures.oldest_undelivered_age["archive"] == pytest.approx(3600, abs=60)


def test_what_a_recall_or_an_erasure_ended_was_not_given_up(database: Database) -> None:
    analysed(database)
    report(database)
    with database.write() as session:
        given_up, ended = claim_deliveries(session, 2, 60)
        mark_dead(session, given_up, "sop_class_not_supported", 0x0122)
        mark_dead(session, ended, ERASED, None)
    assert _figures(database).deliveries == {("dead", "pacs"): 1}


def test_a_queue_is_as_awake_as_its_most_awake_worker(database: Database) -> None:
    with database.write() as session:
        for worker, seconds in (("a", 500), ("b", 20)):
            session.add(Heartbeat(queue="inference", worker=worker, at=now() - timedelta(seconds=seconds)))
        session.add(Heartbeat(queue="delivery", worker="a", at=now() + timedelta(seconds=60)))
    with database.read() as session:
        ages = heartbeat_ages(session)
    assert ages == {"inference": pytest.approx(20, abs=15), "delivery": 0.0}
