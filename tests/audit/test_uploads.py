"""Uploads in the books: the same one twice, asked again, and out of DICOM's sight."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from audit.commitments import look_up
from audit.holdings import StudyKeys, find_studies
from audit.idempotency import Standing, begin, forget, keep_answer
from audit.inference_jobs import claim_inference
from audit.models import IdempotentRequest, Instance, Job, JobState, Prediction, Priority, Study, now
from audit.session import Database
from audit.studies import release_idle_studies
from audit.uploads import BookedUpload, GivenImage, Request, ask, book_upload, find_answer, find_upload
from tests.audit.rows import DEVICE_UID, book, finish, positive

GIVEN = GivenImage(
    principal="ward",
    peer_address="127.0.0.1",
    content_sha256="ab" * 32,
    size_bytes=10,
    media_type="image/png",
    columns=60,
    rows=40,
    use_tta=False,
    patient_id="P",
)


def upload(database: Database, given: GivenImage = GIVEN) -> BookedUpload:
    with database.write() as session:
        return book_upload(session, given, "received/ab/1.png", Request("request-1", "trace-1"))


def work(database: Database, device_uid: str = DEVICE_UID) -> None:
    with database.write() as session:
        for job in claim_inference(session, 5, 60):
            finish(session, job, positive(), destinations=(), device_uid=device_uid)


def asked(database: Database, booked: BookedUpload, device_uid: str | None) -> bool:
    with database.write() as session:
        return ask(session, booked.job_id, device_uid, Request("request-2", "trace-2")).prediction_id is None


@pytest.mark.parametrize(
    "change",
    [
        {"principal": "other"},
        {"content_sha256": "cd" * 32},
        {"patient_id": "Q"},
        {"issuer_of_patient_id": "HOSPITAL"},
        {"use_tta": True},
    ],
)
def test_what_makes_another_upload(database: Database, change: dict[str, object]) -> None:
    first = upload(database)
    assert upload(database).instance_id == first.instance_id
    assert upload(database, replace(GIVEN, **change)).instance_id != first.instance_id  # type: ignore[arg-type]


def test_an_erased_one_is_not_found(database: Database) -> None:
    first = upload(database)
    with database.write() as session:
        session.execute(update(Study).values(erased_at=now()))
    with database.read() as session:
        assert find_upload(session, GIVEN) is None
    assert upload(database).instance_id != first.instance_id


def test_two_who_book_the_same_at_once(database: Database) -> None:
    together = threading.Barrier(4)

    def both(_: int) -> BookedUpload:
        together.wait(10)
        return upload(database)

    with ThreadPoolExecutor(4) as pool:
        booked = list(pool.map(both, range(4)))
    assert len({each.instance_id for each in booked}) == 1
    assert [each.is_new for each in booked].count(True) == 1


def test_an_upload_goes_before_what_nobody_waits_for(database: Database) -> None:
    book(database)
    booked = upload(database)
    with database.write() as session:
        (job,) = claim_inference(session, 1, 60)
    assert (job.id, job.uploaded, job.media_type, job.use_tta) == (booked.job_id, True, "image/png", False)
    assert (job.request_id, job.traceparent) == ("request-1", "trace-1")


def test_nothing_of_it_is_let_go(database: Database) -> None:
    upload(database)
    work(database)
    with database.write() as session:
        session.execute(update(Study).values(last_received_at=now() - timedelta(hours=1)))
        assert release_idle_studies(session, idle_seconds=10) == []


def test_asking_again(database: Database) -> None:
    booked = upload(database)
    assert asked(database, booked, DEVICE_UID), "it waits already"
    work(database)
    assert not asked(database, booked, DEVICE_UID)
    assert not asked(database, booked, None), "without a model in charge the last answer serves"
    assert asked(database, booked, "2.25.99"), "another model is in charge"
    with database.read() as session:
        job = session.get_one(Job, booked.job_id)
        assert (job.state, job.priority, job.generation) == (JobState.PENDING, Priority.SOMEONE_WAITS, 1)
        assert (job.request_id, job.traceparent) == ("request-2", "trace-2")


def test_a_withdrawn_answer_serves_nobody(database: Database) -> None:
    booked = upload(database)
    work(database)
    with database.write() as session:
        session.execute(update(Prediction).values(recalled_at=now()))
    with database.read() as session:
        assert find_answer(session, booked.instance_id) is None
    assert asked(database, booked, DEVICE_UID)
    with database.read() as session:
        assert session.get_one(Job, booked.job_id).generation == 2, "to be told apart from the one withdrawn"


def test_dicom_peers_do_not_see_it(database: Database) -> None:
    booked, ours = upload(database), book(database)
    with database.read() as session:
        studies = find_studies(session, StudyKeys(), most_studies=5, most_instances=5)
        sop_class_uid = session.get_one(Instance, booked.instance_id).sop_class_uid
        holding = look_up(
            session, [(sop_class_uid, booked.sop_instance_uid), (ours.sop_class_uid, ours.sop_instance_uid)]
        )
    assert [study.study_instance_uid for study in studies] == [ours.study_instance_uid]
    assert [uid for _, uid in holding.held] == [ours.sop_instance_uid]


class TestIdempotentRequests:
    def begin(self, database: Database, digest: str = "d1", longest_seconds: float = 90) -> tuple[Standing, int]:
        with database.write() as session:
            begun = begin(session, "ward", "key", digest, longest_seconds)
        return begun.standing, begun.row_id

    def test_its_course(self, database: Database) -> None:
        standing, row_id = self.begin(database)
        assert standing is Standing.FIRST
        assert self.begin(database)[0] is Standing.RUNNING
        assert self.begin(database, "d2")[0] is Standing.OTHER
        with database.write() as session:
            keep_answer(session, row_id, {"status": 200, "body": {}})
        assert self.begin(database)[0] is Standing.ANSWERED
        with database.write() as session:
            forget(session, row_id)
        assert self.begin(database)[0] is Standing.ANSWERED, "an answer stands"

    def test_the_next_one_stands_in_for_one_that_died(self, database: Database) -> None:
        self.begin(database)
        with database.write() as session:
            session.execute(update(IdempotentRequest).values(created_at=now() - timedelta(seconds=91)))
        assert self.begin(database)[0] is Standing.FIRST
        assert self.begin(database)[0] is Standing.RUNNING

    def test_a_day_later_it_is_forgotten(self, database: Database) -> None:
        _, row_id = self.begin(database)
        with database.write() as session:
            keep_answer(session, row_id, {"status": 200, "body": {}})
            session.execute(update(IdempotentRequest).values(created_at=now() - timedelta(hours=25)))
        assert self.begin(database, "d2")[0] is Standing.FIRST

    def test_two_who_take_the_key_at_once(self, database: Database) -> None:
        together = threading.Barrier(4)

        def take(_: int) -> Standing:
            together.wait(10)
            return self.begin(database)[0]

        with ThreadPoolExecutor(4) as pool:
            standings = list(pool.map(take, range(4)))
        assert sorted(standings) == [Standing.FIRST] + [Standing.RUNNING] * 3
