from __future__ import annotations

from sqlalchemy import select

from audit.deliveries import claim_deliveries, mark_sent
from audit.inference_jobs import claim_inference
from audit.models import AuditEvent, Delivery, Study
from audit.session import Database
from audit.studies import release_idle_studies
from core.records import DeliveryState
from tests.audit.rows import analysed, book, finish, positive, received, report, results_of


def test_a_study_that_still_grows_is_held(database: Database) -> None:
    analysed(database)
    with database.write() as session:
        assert release_idle_studies(session, idle_seconds=60) == []
    assert len(report(database)) == 1


def test_a_study_with_an_unfinished_image_is_held(database: Database) -> None:
    (image,) = analysed(database)
    book(database, received(study_instance_uid=image.study_instance_uid))
    assert report(database) == []
    with database.write() as session:
        (job,) = claim_inference(session, 16, 60)
    assert report(database) == [], "claimed is not finished"
    with database.write() as session:
        finish(session, job, positive())
    assert report(database) == [image.study_instance_uid]


def test_a_study_is_reported_once(database: Database) -> None:
    (image,) = analysed(database)
    assert report(database) == [image.study_instance_uid]
    assert report(database) == []
    with database.read() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.kind == "study.reported")).all()
        assert [event.subject for event in events] == [image.study_instance_uid]
        assert session.scalars(select(Study)).one().reported_at is not None


def test_a_late_image_lets_only_what_is_new_go(database: Database) -> None:
    (first,) = analysed(database)
    report(database)
    with database.write() as session:
        for job in claim_deliveries(session, 32, 60):
            mark_sent(session, job, 0x0000)
    late = received(study_instance_uid=first.study_instance_uid)
    analysed(database, instances=[late])
    assert report(database) == [first.study_instance_uid]
    with database.write() as session:
        claimed = {job.sop_instance_uid for job in claim_deliveries(session, 32, 60)}
    assert claimed == {built.sop_instance_uid for built in results_of(late.sop_instance_uid)}
    with database.read() as session:
        states = session.scalars(select(Delivery.state).order_by(Delivery.id)).all()
        assert states == [DeliveryState.SENT, DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.PENDING]


def test_studies_are_let_go_one_by_one(database: Database) -> None:
    analysed(database, instances=[received(), received()])
    book(database)
    assert len(report(database)) == 2
    with database.read() as session:
        assert len(session.scalars(select(Study).where(Study.reported_at.is_(None))).all()) == 1
