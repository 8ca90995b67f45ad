from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from audit.inference_jobs import claim_inference, postpone_inference, register_model, retry_inference
from audit.leases import renew
from audit.listing import Page
from audit.models import AuditEvent, Job, JobState, ModelVersion, Prediction, ResultObject, Role, Severity, now
from audit.prediction_filter import PredictionFilter
from audit.queries import find_predictions
from audit.session import Database
from audit.shadow_predictions import ShadowPrediction, keep_shadow_predictions
from core.errors import LeaseLost, RetryLater
from core.records import InferenceJob, Outcome
from tests.audit.rows import DEVICE_UID, MODEL, analysed, book, finish, not_analysed, positive, received


def _claim(database: Database, limit: int = 16, lease_seconds: float = 60) -> list[InferenceJob]:
    with database.write() as session:
        return claim_inference(session, limit, lease_seconds)


def test_a_batch_is_the_oldest_due_jobs_under_one_token(database: Database) -> None:
    booked = [book(database) for _ in range(5)]
    jobs = _claim(database, limit=3)
    assert [job.sop_instance_uid for job in jobs] == [image.sop_instance_uid for image in booked[:3]]
    assert [job.spool_name for job in jobs] == [image.spool_name for image in booked[:3]]
    assert len({job.token for job in jobs}) == 1
    assert {job.attempts for job in jobs} == {1}
    assert len(_claim(database)) == 2
    assert _claim(database) == []


def test_an_image_that_lost_its_worker_comes_alone_and_in_its_turn(database: Database) -> None:
    lost = [book(database).sop_instance_uid for _ in range(2)]
    assert len(_claim(database, lease_seconds=-1)) == 2  # the worker dies with both
    fresh = [book(database).sop_instance_uid for _ in range(3)]
    claimed = [[job.sop_instance_uid for job in _claim(database)] for _ in range(4)]
    assert claimed == [lost[:1], lost[1:], fresh, []]


def test_a_retried_job_ends_a_batch_of_fresh_ones(database: Database) -> None:
    first = book(database)
    (job,) = _claim(database)
    with database.write() as session:
        retry_inference(session, job, "spool_unreachable", pause_seconds=0)
    with database.write() as session:
        session.execute(update(Job).values(due_at=now()))
    early = book(database)
    with database.write() as session:
        session.execute(update(Job).where(Job.attempts == 0).values(due_at=now() - timedelta(minutes=1)))
    late = book(database)
    claimed = [[job.sop_instance_uid for job in _claim(database)] for _ in range(3)]
    assert claimed == [[early.sop_instance_uid], [first.sop_instance_uid], [late.sop_instance_uid]]


def test_finishing_writes_everything_in_one_transaction(database: Database) -> None:
    image = book(database)
    (job,) = _claim(database)
    with database.write() as session:
        finish(session, job, positive(0.8, "low_resolution"), destinations=("pacs", "archive"))
    with database.read() as session:
        prediction = session.scalars(select(Prediction)).one()
        assert (prediction.outcome, prediction.probability, prediction.voi) == (Outcome.POSITIVE, 0.8, "window")
        assert prediction.stage_seconds == {"read": 0.1, "predict": 0.2}
        assert [(warning.severity, warning.code) for warning in prediction.warnings] == [
            (Severity.WARNING, "low_resolution")
        ]
        assert prediction.model_version.device_uid == DEVICE_UID
        deliveries = [delivery for built in prediction.result_objects for delivery in built.deliveries]
        assert sorted((delivery.destination, delivery.due_at) for delivery in deliveries) == [
            ("archive", None), ("archive", None), ("pacs", None), ("pacs", None),
        ]  # fmt: skip
        row = session.scalars(select(Job)).one()
        assert (row.state, row.token, row.lease_until) == (JobState.DONE, None, None)
        assert row.finished_at is not None
        (event,) = session.scalars(select(AuditEvent).where(AuditEvent.kind == "prediction.positive"))
        assert event.subject == image.sop_instance_uid


def test_not_analysed_keeps_its_reasons_and_no_probability(database: Database) -> None:
    book(database)
    (job,) = _claim(database)
    with database.write() as session:
        finish(session, job, not_analysed("lateral_view"))
    with database.read() as session:
        prediction = session.scalars(select(Prediction)).one()
        assert (prediction.outcome, prediction.probability) == (Outcome.NOT_ANALYSED, None)
        assert [(remark.severity, remark.code) for remark in prediction.warnings] == [(Severity.REASON, "lateral_view")]


def test_who_lost_the_lease_writes_nothing(database: Database) -> None:
    book(database)
    (slow,) = _claim(database, lease_seconds=-1)
    (fast,) = _claim(database)
    assert (slow.id, slow.attempts, fast.attempts) == (fast.id, 1, 2)
    with pytest.raises(LeaseLost), database.write() as session:
        finish(session, slow, positive(0.1))
    with pytest.raises(LeaseLost), database.write() as session:
        retry_inference(session, slow, "too_late", pause_seconds=0)
    with database.write() as session:
        finish(session, fast, positive(0.9))
    with pytest.raises(LeaseLost), database.write() as session:  # even the holder ends it once
        finish(session, fast, positive(0.9))
    with database.read() as session:
        assert session.scalars(select(Prediction.probability)).all() == [0.9]
        assert len(session.scalars(select(ResultObject)).all()) == 2


def test_a_lease_that_is_renewed_is_not_taken_over(database: Database) -> None:
    book(database)
    (job,) = _claim(database, lease_seconds=-1)
    with database.write() as session:
        renew(session, Job, [job.id], job.token, 60)
    assert _claim(database) == []


def test_a_retried_job_waits_and_keeps_count(database: Database) -> None:
    book(database)
    (job,) = _claim(database)
    with database.write() as session:
        retry_inference(session, job, "spool_unreachable", pause_seconds=60)
    assert _claim(database) == []
    with database.write() as session:
        assert session.scalars(select(Job.last_error)).one() == "spool_unreachable"
        session.execute(update(Job).values(due_at=now()))
    (again,) = _claim(database)
    assert again.attempts == 2


def test_an_image_of_another_patient_than_its_study_is_marked(database: Database) -> None:
    first = book(database)
    book(database, received(study_instance_uid=first.study_instance_uid, patient_id="PATIENT-2"))
    assert [job.patient_conflict for job in _claim(database)] == [False, True]


def test_a_model_version_is_registered_once_per_device_uid(database: Database) -> None:
    with database.write() as session:
        first = register_model(session, MODEL, DEVICE_UID)
        assert register_model(session, MODEL, DEVICE_UID) == first
        assert register_model(session, replace(MODEL, threshold=0.4), "2.25.12") != first
    with database.read() as session:
        assert session.scalars(select(ModelVersion.threshold).order_by(ModelVersion.id)).all() == [0.5, 0.4]


def test_what_the_model_said_in_shadow_gives_way_to_what_it_says_in_charge(database: Database) -> None:
    book(database, received())
    with database.write() as session:
        (job,) = claim_inference(session, 1, 60)
        tried = ShadowPrediction(job.instance_id, positive(0.3, "low_resolution"), {})
        keep_shadow_predictions(session, register_model(session, MODEL, DEVICE_UID), [tried])
        finish(session, job, positive(0.8))
    with database.read() as session:
        (prediction,) = find_predictions(session, PredictionFilter(role=None), Page(10))
    assert (prediction.role, prediction.probability) == (Role.ACTIVE, 0.8)


def test_a_model_that_has_answered_leaves_the_job_to_another(database: Database) -> None:
    analysed(database)
    with database.write() as session:
        session.execute(update(Job).values(state=JobState.PENDING, due_at=now()))
        (job,) = claim_inference(session, 1, 60)
    with pytest.raises(RetryLater, match="already_answered"), database.write() as session:
        finish(session, job, positive(0.8))
    with database.write() as session:
        postpone_inference(session, job, "already_answered", 0)
        (again,) = claim_inference(session, 1, 60)
    assert again.attempts == 1, "it is nobody's failure"
