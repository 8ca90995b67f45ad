from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from audit.intake import Receipt, book_instance
from audit.models import AuditEvent, Instance, Job, JobState, Source, Study
from audit.session import Database
from core.records import ReceivedInstance
from tests.audit.rows import analysed, book, received, report, results_of


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind)))


def test_a_new_image_is_an_instance_with_a_job_that_is_due(database: Database) -> None:
    instance = received()
    with database.write() as session:
        booked = book_instance(session, instance)
    assert booked.receipt is Receipt.NEW
    with database.read() as session:
        row = session.scalars(select(Instance)).one()
        job = session.scalars(select(Job)).one()
        assert (row.sop_instance_uid, row.source.name, row.study.accession_number) == (
            instance.sop_instance_uid,
            "room-1",
            "ACCESSION-1",
        )
        assert (job.id, job.instance_id, job.state, job.attempts) == (booked.job_id, row.id, JobState.PENDING, 0)
        assert job.due_at == row.received_at
        assert row.received_at.tzinfo is not None
        assert row.study.first_received_at == row.study.last_received_at == row.received_at
        assert row.source.first_seen_at == row.source.last_seen_at == row.received_at
    assert [event.actor for event in _events(database, "instance.received")] == ["XRAY1"]


def test_the_same_bytes_again_change_nothing(database: Database) -> None:
    instance = book(database)
    with database.write() as session:
        assert book_instance(session, instance).receipt is Receipt.DUPLICATE
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Instance)) == 1
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_the_same_uid_with_other_bytes_is_kept_aside_and_recorded(database: Database) -> None:
    instance = book(database)
    other = replace(instance, sha256="00" * 32, spool_name="kept_aside/cd/other.dcm")
    with database.write() as session:
        assert book_instance(session, other).receipt is Receipt.CONFLICT
    (event,) = _events(database, "instance.conflict")
    assert event.data == {
        "spool_name": "kept_aside/cd/other.dcm",
        "sha256": "00" * 32,
        "sha256_of_first": instance.sha256,
    }


def test_our_own_result_coming_back_is_recognised(database: Database) -> None:
    (instance,) = analysed(database)
    ours = received(sop_instance_uid=results_of(instance.sop_instance_uid)[0].sop_instance_uid)
    with database.write() as session:
        assert book_instance(session, ours).receipt is Receipt.OWN_RESULT
    assert len(_events(database, "own_result.returned")) == 1


def test_images_of_a_study_share_its_row_and_a_late_one_opens_it_again(database: Database) -> None:
    (first,) = analysed(database)
    assert report(database) == [first.study_instance_uid]
    book(database, received(study_instance_uid=first.study_instance_uid, source="room-2"))
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        assert study.reported_at is None
        assert len(study.instances) == 2
        assert {source.name for source in session.scalars(select(Source))} == {"room-1", "room-2"}


def test_a_study_under_two_patients_is_recorded_and_each_image_keeps_its_own(database: Database) -> None:
    first = book(database)
    book(database, received(study_instance_uid=first.study_instance_uid, patient_id="PATIENT-2"))
    (event,) = _events(database, "study.patient_conflict")
    assert "PATIENT" not in str(event.data)
    with database.read() as session:
        assert set(session.scalars(select(Instance.patient_id))) == {"PATIENT-1", "PATIENT-2"}
        assert session.scalars(select(Study.patient_id)).one() == "PATIENT-1"


def test_associations_that_bring_the_same_image_at_once_book_it_once(database: Database) -> None:
    instance = received()

    def bring(_association: int) -> Receipt:
        try:
            with database.write() as session:
                return book_instance(session, instance).receipt
        except IntegrityError:
            with database.write() as session:
                return book_instance(session, instance).receipt

    with ThreadPoolExecutor(4) as associations:
        receipts = Counter(associations.map(bring, range(4)))
    assert receipts == {Receipt.NEW: 1, Receipt.DUPLICATE: 3}


def test_associations_that_bring_one_study_at_once_share_its_row(database: Database) -> None:
    images = [received(study_instance_uid="1.2.3") for _ in range(4)]

    def bring(image: ReceivedInstance) -> Receipt:
        try:
            with database.write() as session:
                return book_instance(session, image).receipt
        except IntegrityError:
            with database.write() as session:
                return book_instance(session, image).receipt

    with ThreadPoolExecutor(4) as associations:
        assert set(associations.map(bring, images)) == {Receipt.NEW}
    with database.read() as session:
        assert len(session.scalars(select(Study)).one().instances) == 4
