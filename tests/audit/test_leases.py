from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from audit.inference_jobs import claim_inference, retry_inference
from audit.leases import mark_lost_messages
from audit.models import Delivery, Job, now
from audit.session import Database
from tests.audit.rows import analysed, book, report


def _lost(database: Database, message_life_seconds: float = 30) -> int | None:
    with database.write() as session:
        return mark_lost_messages(session, Job, message_life_seconds)


def _age_messages(database: Database, seconds: float) -> None:
    with database.write() as session:
        session.execute(update(Job).values(woken_at=now() - timedelta(seconds=seconds)))


def test_a_message_counts_as_lost_only_after_its_life(database: Database) -> None:
    book(database)
    with database.write() as session:  # due since long, woken a moment ago
        session.execute(update(Job).values(due_at=now() - timedelta(hours=1), woken_at=now()))
    assert _lost(database) is None
    _age_messages(database, 31)
    assert _lost(database) is not None
    assert _lost(database) is None, "it was just sent again"


def test_one_message_wakes_for_all_that_is_due(database: Database) -> None:
    for _ in range(5):
        book(database)
    with database.write() as session:
        session.execute(update(Job).values(due_at=now() - timedelta(hours=1)))
    _age_messages(database, 31)
    with database.read() as session:
        oldest = session.scalars(select(Job.id).order_by(Job.due_at, Job.id)).first()
    assert _lost(database) == oldest
    assert _lost(database) is None


def test_work_under_a_lease_or_finished_has_no_lost_message(database: Database) -> None:
    analysed(database)
    book(database)
    with database.write() as session:
        claim_inference(session, 16, 60)
    _age_messages(database, 3600)
    assert _lost(database) is None


def test_the_work_of_a_dead_worker_is_sent_again(database: Database) -> None:
    book(database)
    with database.write() as session:
        (job,) = claim_inference(session, 16, lease_seconds=-1)
    _age_messages(database, 31)
    assert _lost(database) == job.id


def test_a_retried_job_is_woken_as_soon_as_it_is_due(database: Database) -> None:
    book(database)
    with database.write() as session:
        (job,) = claim_inference(session, 16, 60)
        retry_inference(session, job, "spool_unreachable", pause_seconds=60)
    assert _lost(database) is None
    with database.write() as session:
        session.execute(update(Job).values(due_at=now(), woken_at=now() - timedelta(seconds=1)))
    assert _lost(database) == job.id


def test_held_deliveries_need_no_message_and_released_ones_do(database: Database) -> None:
    analysed(database)
    with database.write() as session:
        assert mark_lost_messages(session, Delivery, 30) is None
    report(database)
    with database.write() as session:
        assert mark_lost_messages(session, Delivery, 30) is not None
        assert mark_lost_messages(session, Delivery, 30) is None
