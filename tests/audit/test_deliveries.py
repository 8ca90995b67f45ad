from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from audit.deliveries import (
    DeliveryFilter,
    claim_deliveries,
    mark_dead,
    mark_sent,
    requeue_deliveries,
    retry_delivery,
)
from audit.delivery_listing import find_deliveries
from audit.models import AuditEvent, Delivery, now
from audit.session import Database
from core.errors import LeaseLost
from core.records import DeliveryJob, DeliveryState
from tests.audit.rows import analysed, report, results_of


def _claim(database: Database, limit: int = 32, lease_seconds: float = 60) -> list[DeliveryJob]:
    with database.write() as session:
        return claim_deliveries(session, limit, lease_seconds)


def _rows(database: Database) -> list[Delivery]:
    with database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind)))


def test_nothing_is_due_while_the_study_may_grow(database: Database) -> None:
    analysed(database)
    assert _claim(database) == []


def test_a_claim_is_of_one_destination_and_a_busy_one_is_left_alone(database: Database) -> None:
    (image,) = analysed(database, destinations=("pacs", "archive"))
    report(database)
    first = _claim(database, limit=1)
    second = _claim(database)
    assert len(first) == 1
    assert {job.destination for job in first + second} == {"pacs", "archive"}, "each claim has its own destination"
    assert {job.sop_instance_uid for job in second} == {
        built.sop_instance_uid for built in results_of(image.sop_instance_uid)
    }
    assert _claim(database) == [], "the rest waits for the worker that is sending there"
    with database.write() as session:
        mark_sent(session, first[0], 0x0000)
    (rest,) = _claim(database)
    assert rest.destination == first[0].destination


def test_claims_side_by_side_never_share_a_destination(database: Database) -> None:
    for _ in range(4):
        analysed(database, destinations=("pacs", "archive"))
    report(database)
    claims: list[list[DeliveryJob]] = []
    together = threading.Barrier(4)

    def claim() -> None:
        together.wait()
        claims.append(_claim(database, limit=2))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted({job.destination for job in claim} == set() for claim in claims) == [False, False, True, True]
    assert {job.destination for claim in claims for job in claim} == {"pacs", "archive"}


def test_a_destination_takes_as_many_workers_as_it_says(database: Database) -> None:
    for _ in range(2):
        analysed(database)
    report(database)
    with database.write() as session:
        claims = [claim_deliveries(session, 1, 60, {"pacs": 2}) for _ in range(3)]
    assert [len(claim) for claim in claims] == [1, 1, 0]


def test_sent_is_an_end_with_its_status(database: Database) -> None:
    analysed(database)
    report(database)
    for job in _claim(database):
        with database.write() as session:
            mark_sent(session, job, 0xB000)
    assert [(row.state, row.last_status) for row in _rows(database)] == [(DeliveryState.SENT, 0xB000)] * 2
    assert all(row.sent_at is not None for row in _rows(database))
    assert [event.data["status"] for event in _events(database, "delivery.sent")] == ["0xB000", "0xB000"]
    assert _claim(database) == []


def test_a_retry_waits_for_its_pause_and_keeps_its_age(database: Database) -> None:
    analysed(database)
    report(database)
    job = _claim(database)[0]
    with database.write() as session:
        session.execute(update(Delivery).values(first_due_at=now() - timedelta(hours=2)))
        retry_delivery(session, job, "no_association", None, pause_seconds=60)
    assert _claim(database) == [], "its neighbour is still under the lease, itself it is not due"
    with database.write() as session:
        session.execute(update(Delivery).values(due_at=now(), lease_until=None))
    again = {job.id: job for job in _claim(database)}[job.id]
    assert again.attempts == 2
    assert again.age_seconds == pytest.approx(7200, abs=30)


def test_dead_is_an_end_and_says_why(database: Database) -> None:
    analysed(database)
    report(database)
    job = _claim(database)[0]
    with database.write() as session:
        mark_dead(session, job, "sop_class_not_supported", 0x0122)
    row = next(row for row in _rows(database) if row.id == job.id)
    assert (row.state, row.last_status, row.last_error) == (DeliveryState.DEAD, 0x0122, "sop_class_not_supported")
    (event,) = _events(database, "delivery.dead")
    assert (event.data["destination"], event.data["status"]) == ("pacs", "0x0122")


def test_who_lost_the_lease_writes_nothing(database: Database) -> None:
    analysed(database)
    report(database)
    slow = _claim(database, lease_seconds=-1)[0]
    fast = next(job for job in _claim(database) if job.id == slow.id)
    with pytest.raises(LeaseLost), database.write() as session:
        mark_dead(session, slow, "no_answer", None)
    with database.write() as session:
        mark_sent(session, fast, 0x0000)
    assert next(row.state for row in _rows(database) if row.id == slow.id) is DeliveryState.SENT


def test_requeueing_starts_afresh_at_the_same_destination(database: Database) -> None:
    analysed(database, destinations=("pacs", "archive"))
    report(database)
    for job in _claim(database) + _claim(database):
        with database.write() as session:
            mark_dead(session, job, "association_rejected", None)
    with database.write() as session:
        requeued = requeue_deliveries(
            session, DeliveryFilter(state=DeliveryState.DEAD, destination="archive"), "cli:someone"
        )
    assert len(requeued) == 2
    jobs = _claim(database)
    assert {(job.id, job.destination, job.attempts) for job in jobs} == {(id_, "archive", 1) for id_ in requeued}
    assert [event.actor for event in _events(database, "delivery.requeued")] == ["cli:someone"] * 2
    assert _claim(database) == [], "the other destination's stay dead"


def test_requeueing_leaves_alone_what_is_being_sent(database: Database) -> None:
    analysed(database)
    report(database)
    ids = [job.id for job in _claim(database)]
    with database.write() as session:
        assert requeue_deliveries(session, DeliveryFilter(ids=ids), "cli:someone") == []


def test_requeueing_lets_no_study_go_that_still_grows(database: Database) -> None:
    analysed(database)
    ids = [row.id for row in _rows(database)]
    with database.write() as session:
        assert requeue_deliveries(session, DeliveryFilter(ids=ids), "cli:someone") == []
    assert _claim(database) == []


def test_deliveries_are_listed_newest_first_with_their_objects(database: Database) -> None:
    analysed(database, destinations=("pacs", "archive"))
    with database.read() as session:
        found = find_deliveries(session, DeliveryFilter(destination="pacs"), limit=10)
        first = find_deliveries(session, DeliveryFilter(), limit=1)
    assert [row.id for row in found] == sorted((row.id for row in found), reverse=True)
    assert len({row.result_object.sop_instance_uid for row in found}) == 2
    assert first[0].id == max(row.id for row in _rows(database))
