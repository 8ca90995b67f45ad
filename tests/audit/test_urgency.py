"""Whose turn it is, where some jobs are urgent and nothing may starve."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from audit.inference_jobs import claim_inference, retry_inference
from audit.models import Instance, Job, Priority, now
from audit.session import Database
from audit.urgency import Turn, someone_waits
from tests.audit.rows import book


def _book(database: Database, priority: Priority, seconds_ago: float = 0) -> str:
    uid = book(database).sop_instance_uid
    with database.write() as session:
        of_it = select(Instance.id).where(Instance.sop_instance_uid == uid).scalar_subquery()
        values = {"priority": priority, "due_at": now() - timedelta(seconds=seconds_ago)}
        session.execute(update(Job).where(Job.instance_id == of_it).values(values))
    return uid


def _claim(database: Database, turn: Turn = Turn.URGENT_FIRST, limit: int = 16) -> list[str]:
    with database.write() as session:
        return [job.sop_instance_uid for job in claim_inference(session, limit, 60, turn)]


def test_the_most_urgent_comes_first_and_of_these_the_oldest(database: Database) -> None:
    again = _book(database, Priority.AGAIN, 300)
    late, early = _book(database, Priority.NORMAL, 10), _book(database, Priority.NORMAL, 20)
    waiting = _book(database, Priority.SOMEONE_WAITS)
    assert _claim(database) == [waiting], "who waits shares no batch with others"
    assert _claim(database) == [early, late, again]


def test_a_turn_of_those_who_wait_takes_nothing_else(database: Database) -> None:
    normal = _book(database, Priority.NORMAL, 10)
    with database.read() as session:
        assert not someone_waits(session)
    assert _claim(database, Turn.SOMEONE_WAITS) == []
    waiting = _book(database, Priority.SOMEONE_WAITS)
    with database.read() as session:
        assert someone_waits(session)
    assert _claim(database, Turn.SOMEONE_WAITS) == [waiting]
    assert _claim(database) == [normal]


def test_one_that_may_have_killed_a_worker_is_not_let_into_a_running_batch(database: Database) -> None:
    uid = _book(database, Priority.SOMEONE_WAITS)
    with database.write() as session:
        (job,) = claim_inference(session, 1, 60)
        retry_inference(session, job, "spool_unreachable", pause_seconds=0)
    with database.read() as session:
        assert not someone_waits(session)
    assert _claim(database, Turn.SOMEONE_WAITS) == []
    assert _claim(database) == [uid]


@pytest.mark.parametrize(
    ("priority", "seconds", "comes_first"),
    [
        (Priority.AGAIN, 3500, False),
        (Priority.AGAIN, 3700, True),
        (Priority.NORMAL, 50, False),
        (Priority.NORMAL, 70, True),
    ],
)
def test_nothing_starves(database: Database, priority: Priority, seconds: float, comes_first: bool) -> None:
    patient = _book(database, priority, seconds)
    urgent = [_book(database, Priority.SOMEONE_WAITS) for _ in range(3)]
    assert _claim(database, limit=1) == urgent[:1]
    assert _claim(database, Turn.LATE_FIRST, limit=1) == ([patient] if comes_first else urgent[1:2])


def test_what_is_late_and_may_kill_its_worker_comes_alone(database: Database) -> None:
    poison = _book(database, Priority.AGAIN, 7200)
    with database.write() as session:
        session.execute(update(Job).values(attempts=1))
    harmless = _book(database, Priority.AGAIN, 7100)
    assert _claim(database, Turn.LATE_FIRST) == [poison]
    assert _claim(database, Turn.LATE_FIRST) == [harmless]
