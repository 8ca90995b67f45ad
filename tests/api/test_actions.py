"""What people set going through the API, and what it leaves behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from audit.alerts import AlertCode, Condition, settle_alerts
from audit.api_keys import create_key
from audit.deliveries import claim_deliveries, mark_dead
from audit.inference_jobs import claim_inference, register_model, retry_inference
from audit.model_versions import activate
from audit.models import (
    Alert,
    AuditEvent,
    Delivery,
    Instance,
    Job,
    JobState,
    ModelVersion,
    Prediction,
    Priority,
    Study,
    now,
)
from audit.recalls import Recall, mark_recalled
from audit.session import Database
from core.records import Analysis, DeliveryState, Finding, Outcome
from core.scopes import Scope
from tests.api.conftest import StartAPI
from tests.audit.rows import DEVICE_UID, MODEL, analysed, book, not_analysed, received, report

ANOTHER = replace(MODEL, version="2.0.0")
ANOTHER_UID = "2.25.12"
FAILED = Analysis(Outcome.FAILED, reasons=(Finding("analysis_failed", "It failed."),))


@pytest.fixture
def first_in_charge(database: Database) -> Database:
    _activate(database, MODEL, DEVICE_UID)
    return database


def _activate(database: Database, model: Any, device_uid: str) -> None:
    with database.write() as session:
        activate(session, register_model(session, model, device_uid), "cli:test")


def _job(database: Database, sop_instance_uid: str) -> Job:
    with database.read() as session:
        return session.scalars(select(Job).join(Instance).where(Instance.sop_instance_uid == sop_instance_uid)).one()


def _events(database: Database, kind: str) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == kind).order_by(AuditEvent.id)))


def _retry(api: httpx.Client, job: Job) -> httpx.Response:
    return api.post(f"/v1/jobs/{job.id}/retry", headers={"X-Request-ID": "desk-7"})


def test_a_failed_image_is_analysed_again(api: httpx.Client, first_in_charge: Database) -> None:
    (image,) = analysed(first_in_charge, FAILED)
    report(first_in_charge)
    job = _job(first_in_charge, image.sop_instance_uid)
    answer = _retry(api, job)
    assert answer.status_code == 200, answer.text
    with first_in_charge.read() as session:
        prediction = session.scalars(select(Prediction)).one()
        study = session.scalars(select(Study)).one()
        assert [row.last_error for row in session.scalars(select(Delivery))] == ["recalled"] * 2
    assert answer.json() == {
        "id": job.id,
        "sop_instance_uid": image.sop_instance_uid,
        "did": "queued",
        "state": "pending",
        "withdrawn": [prediction.id],
    }
    assert prediction.recalled_at is not None
    assert study.reported_at is None
    again = _job(first_in_charge, image.sop_instance_uid)
    assert (again.state, again.generation, again.attempts) == (JobState.PENDING, 2, 0)
    assert (again.priority, again.request_id) == (Priority.NORMAL, "desk-7")
    (event,) = _events(first_in_charge, "job.requeued")
    assert (event.actor, event.data["request_id"], event.data["withdrawn"]) == ("tester", "desk-7", [prediction.id])
    with first_in_charge.write() as session:
        (claimed,) = claim_inference(session, 16, 60)
    assert (claimed.generation, claimed.request_id) == (2, "desk-7")
    assert _retry(api, job).json()["did"] == "under_way"
    assert _job(first_in_charge, image.sop_instance_uid).generation == 2


def test_an_image_that_waits_is_due_at_once_however_often_one_asks(api: httpx.Client, database: Database) -> None:
    image = book(database)
    with database.write() as session:
        (claimed,) = claim_inference(session, 1, 60)
        retry_inference(session, claimed, "spool_unreachable", pause_seconds=3600)
    for _ in range(2):
        assert _retry(api, _job(database, image.sop_instance_uid)).json()["did"] == "made_due"
        job = _job(database, image.sop_instance_uid)
        assert job.due_at is not None
        assert (job.due_at <= now(), job.attempts, job.last_error, job.generation) == (True, 0, None, 1)
    assert len(_events(database, "job.requeued")) == 1, "nothing was left to do for the second"


def test_what_the_model_in_charge_has_judged_stands(api: httpx.Client, first_in_charge: Database) -> None:
    (image,) = analysed(first_in_charge)
    answer = _retry(api, _job(first_in_charge, image.sop_instance_uid))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert _job(first_in_charge, image.sop_instance_uid).state is JobState.DONE
    assert _events(first_in_charge, "job.requeued") == []
    _activate(first_in_charge, ANOTHER, ANOTHER_UID)
    assert _retry(api, _job(first_in_charge, image.sop_instance_uid)).json()["did"] == "queued"


def test_a_refused_image_may_be_tried_again(api: httpx.Client, first_in_charge: Database) -> None:
    (image,) = analysed(first_in_charge, not_analysed("lateral_view"))
    assert _retry(api, _job(first_in_charge, image.sop_instance_uid)).json()["did"] == "queued"


def test_what_was_recalled_is_left_to_another_model(api: httpx.Client, first_in_charge: Database) -> None:
    (image,) = analysed(first_in_charge)
    _activate(first_in_charge, ANOTHER, ANOTHER_UID)
    with first_in_charge.write() as session:
        version = session.scalars(select(ModelVersion).where(ModelVersion.device_uid == DEVICE_UID)).one()
        mark_recalled(session, Recall(version.id), [1], "cli:test")
    _activate(first_in_charge, MODEL, DEVICE_UID)
    assert _retry(api, _job(first_in_charge, image.sop_instance_uid)).status_code == 409
    _activate(first_in_charge, ANOTHER, ANOTHER_UID)
    assert _retry(api, _job(first_in_charge, image.sop_instance_uid)).json()["did"] == "queued"


def test_a_study_is_analysed_again_where_that_can_help(api: httpx.Client, first_in_charge: Database) -> None:
    judged = received()
    uid = judged.study_instance_uid
    analysed(first_in_charge, instances=[judged])
    analysed(first_in_charge, FAILED, [received(study_instance_uid=uid)])
    analysed(first_in_charge, not_analysed("lateral_view"), [received(study_instance_uid=uid)])
    (elsewhere,) = analysed(first_in_charge, FAILED)
    book(first_in_charge, received(study_instance_uid=uid))
    answer = api.post(f"/v1/studies/{uid}/reanalyse")
    counts = {"study_instance_uid": uid, "queued": 1, "waiting": 1, "done": 2, "blocked": 0}
    assert answer.json() == counts
    assert api.post(f"/v1/studies/{uid}/reanalyse").json() == counts | {"queued": 0, "waiting": 2}
    assert [event.data["images"] for event in _events(first_in_charge, "study.reanalysed")] == [1]
    assert _job(first_in_charge, elsewhere.sop_instance_uid).state is JobState.DONE
    _activate(first_in_charge, ANOTHER, ANOTHER_UID)
    assert api.post(f"/v1/studies/{uid}/reanalyse").json() == counts | {"queued": 2, "waiting": 2, "done": 0}
    job = _job(first_in_charge, judged.sop_instance_uid)
    assert (job.priority, job.generation) == (Priority.AGAIN, 2)


def test_an_erased_study_is_gone(api: httpx.Client, first_in_charge: Database) -> None:
    (image,) = analysed(first_in_charge, FAILED)
    with first_in_charge.write() as session:
        session.execute(update(Study).values(erased_at=now()))
    for answer in (
        _retry(api, _job(first_in_charge, image.sop_instance_uid)),
        api.post(f"/v1/studies/{image.study_instance_uid}/reanalyse"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert _job(first_in_charge, image.sop_instance_uid).state is JobState.DONE


@pytest.fixture
def dead(database: Database) -> Delivery:
    analysed(database)
    report(database)
    with database.write() as session:
        claimed = claim_deliveries(session, 16, 60)
        for delivery in claimed:
            mark_dead(session, delivery, "sop_class_not_supported", 0x0122)
    with database.read() as session:
        return session.scalars(select(Delivery).order_by(Delivery.id)).all()[0]


def test_a_dead_delivery_goes_out_again(api: httpx.Client, database: Database, dead: Delivery) -> None:
    for _ in range(2):
        answer = api.post(f"/v1/deliveries/{dead.id}/requeue").json()
        assert (answer["did"], answer["state"], answer["destination"]) == ("requeued", "pending", "pacs")
    with database.read() as session:
        states = session.scalars(select(Delivery.state).order_by(Delivery.id)).all()
    assert [state.value for state in states] == ["pending", "dead"]
    assert [event.actor for event in _events(database, "delivery.requeued")] == ["tester"]
    with database.write() as session:
        assert [job.id for job in claim_deliveries(session, 16, 60)] == [dead.id]
    assert api.post(f"/v1/deliveries/{dead.id}/requeue").json()["did"] == "under_way"


def test_many_who_ask_at_once_leave_one_event(api: httpx.Client, database: Database, dead: Delivery) -> None:
    image = book(database)
    with database.write() as session:
        (claimed,) = claim_inference(session, 1, 60)
        retry_inference(session, claimed, "spool_unreachable", pause_seconds=3600)
    job = _job(database, image.sop_instance_uid)
    for path, did, kind in (
        (f"/v1/deliveries/{dead.id}/requeue", "requeued", "delivery.requeued"),
        (f"/v1/jobs/{job.id}/retry", "made_due", "job.requeued"),
    ):
        with ThreadPoolExecutor(8) as people:
            answers = list(people.map(lambda _, path=path: api.post(path), range(8)))
        assert {answer.json()["did"] for answer in answers} == {did}
        assert len(_events(database, kind)) == 1


def test_a_delivery_that_was_tried_has_all_of_its_attempts_again(
    api: httpx.Client, database: Database, dead: Delivery
) -> None:
    with database.write() as session:
        pending = {"state": DeliveryState.PENDING, "attempts": 7, "due_at": now(), "lease_until": None, "token": None}
        session.execute(update(Delivery).where(Delivery.id == dead.id).values(**pending))
    assert api.post(f"/v1/deliveries/{dead.id}/requeue").json()["did"] == "requeued"
    with database.read() as session:
        assert session.get_one(Delivery, dead.id).attempts == 0
    assert len(_events(database, "delivery.requeued")) == 1


@pytest.mark.parametrize("hindrance", [{"last_error": "recalled"}, {"due_at": None}])
def test_a_delivery_that_must_not_go_out_stays(
    api: httpx.Client, database: Database, dead: Delivery, hindrance: dict[str, Any]
) -> None:
    with database.write() as session:
        session.execute(update(Delivery).values(**hindrance))
    answer = api.post(f"/v1/deliveries/{dead.id}/requeue")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert _events(database, "delivery.requeued") == []


def test_an_alert_is_acknowledged(api: httpx.Client, database: Database) -> None:
    with database.write() as session:
        settle_alerts(session, [Condition(AlertCode.PACS_DOWN, "pacs", "It takes nothing.")])
    with database.read() as session:
        (number,) = session.scalars(select(Alert.id))
    for note in ("The cable is out.", ""):
        answer = api.post(f"/v1/alerts/{number}/acknowledge", json={"note": note}).json()
        assert (answer["acknowledged_by"], answer["note"], answer["closed_at"]) == ("tester", note, None)
    assert [event.actor for event in _events(database, "alert.acknowledged")] == ["tester"] * 2
    assert api.post(f"/v1/alerts/{number}/acknowledge", json={"note": "x", "who": "me"}).status_code == 422
    assert api.post(f"/v1/alerts/{number}/acknowledge", json={"note": "nul\x00"}).status_code == 422


PATHS = ("/v1/jobs/77/retry", "/v1/studies/1.2.3/reanalyse", "/v1/deliveries/77/requeue", "/v1/alerts/77/acknowledge")


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_there_cannot_be_acted_on(api: httpx.Client, path: str) -> None:
    answer = api.post(path, json={} if "alerts" in path else None)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_actions_need_their_scope(start_api: StartAPI, database: Database) -> None:
    with database.write() as session:
        operator = create_key(session, "operator", "cli:test", [Scope.JOBS_WRITE])
        everybody_else = create_key(session, "else", "cli:test", set(Scope) - {Scope.JOBS_WRITE})
    client = start_api()
    for path in PATHS:
        assert client.post(path, json={}).status_code == 401
        answer = client.post(path, json={}, headers={"X-API-Key": everybody_else})
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert client.post(path, json={}, headers={"X-API-Key": operator}).status_code == 404
