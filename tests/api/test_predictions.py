from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from audit.deliveries import claim_deliveries, mark_dead, mark_sent
from audit.models import AuditEvent, Prediction
from audit.session import Database
from tests.audit.rows import DEVICE_UID, analysed, not_analysed, positive, received, report, results_of
from tests.audit.test_shadow_predictions import shadow


def _patients(api: httpx.Client, **query: str) -> list[str]:
    answer = api.get("/v1/predictions", params=query)
    assert answer.status_code == 200, answer.text
    return sorted(item["patient_id"] for item in answer.json()["items"])


def test_a_prediction_is_listed_with_where_its_results_are(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, positive(0.8, "low_resolution"), destinations=("pacs", "archive"))
    report(database)
    with database.write() as session:
        for job in claim_deliveries(session, 32, 60):
            mark_sent(session, job, 0x0000)
    (item,) = api.get("/v1/predictions").json()["items"]
    received_at, created_at = [datetime.fromisoformat(item.pop(name)) for name in ("received_at", "created_at")]
    assert received_at.tzinfo == created_at.tzinfo == UTC
    assert item == {
        "id": 1,
        "role": "active",
        "outcome": "positive",
        "label": "pneumonia",
        "probability": 0.8,
        "threshold": 0.5,
        "patient_id": "PATIENT-1",
        "issuer_of_patient_id": "HOSPITAL",
        "accession_number": "ACCESSION-1",
        "study_instance_uid": image.study_instance_uid,
        "series_instance_uid": image.series_instance_uid,
        "sop_instance_uid": image.sop_instance_uid,
        "source": "room-1",
        "uploaded_by": None,
        "model": "mobilenet_v2",
        "model_version": "1.0.0",
        "device_uid": DEVICE_UID,
        "warnings": ["low_resolution"],
        "reasons": [],
        "deliveries": {"sent": 2, "pending": 2},
        "feedback": {},
        "pictures": [],
        "latency_seconds": (created_at - received_at).total_seconds(),
        "recalled_at": None,
    }


def test_filters_compose(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.9, "low_resolution"), [received(patient_id="A")])
    analysed(database, positive(0.1), [received(patient_id="B", source="room-2")])
    analysed(database, not_analysed("lateral_view"), [received(patient_id="C")])
    with database.write() as session:
        for days, row in enumerate(session.scalars(select(Prediction).order_by(Prediction.id))):
            row.created_at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=days)
    assert _patients(api) == ["A", "B", "C"]
    assert _patients(api, patient_id="B") == ["B"]
    assert _patients(api, patient_id="B", issuer_of_patient_id="ELSEWHERE") == []
    assert _patients(api, outcome="not_analysed") == ["C"]
    assert _patients(api, reason="lateral_view") == ["C"]
    assert _patients(api, warning="low_resolution", outcome="positive", model=DEVICE_UID) == ["A"]
    assert _patients(api, source="room-2", model="mobilenet_v2") == ["B"]
    assert _patients(api, created_from="2026-03-02") == ["B", "C"]
    assert _patients(api, created_from="2026-03-02", created_before="2026-03-03T12:00:00Z") == ["B"]
    assert _patients(api, created_before="2026-03-01T13:00:00+02:00") == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"patientid": "A"}, "patientid"),  # a filter that is not known must not answer with everybody
        ({"outcome": "pneumonia"}, "outcome"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "no such place"}, "cursor"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "f" * 21 + "8"}, "cursor"),  # a moment beyond the calendar
        ({"created_from": "yesterday"}, "created_from"),
        ({"created_from": "0001-01-01T00:00:00+14:00"}, "created_from"),
        ({"study_instance_uid": "1.2.x"}, "study_instance_uid"),
        ({"patient_id": "A\x00"}, "patient_id"),
        ({"patient_id": "SECRET" * 100}, "patient_id"),
    ],
)
def test_a_query_that_is_not_understood_is_refused_by_name(
    api: httpx.Client, query: dict[str, str], named: str
) -> None:
    answer = api.get("/v1/predictions", params=query)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["title"], problem["status"]) == ("Unprocessable Entity", 422)
    assert problem["detail"].startswith(f"{named}: ")
    assert "SECRET" not in problem["detail"]


def test_pages_stay_right_while_rows_arrive(api: httpx.Client, database: Database) -> None:
    analysed(database, instances=[received() for _ in range(7)])
    with database.write() as session:
        session.execute(update(Prediction).where(Prediction.id < 5).values(created_at=datetime(2026, 3, 1, tzinfo=UTC)))
    walked: list[int] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = api.get("/v1/predictions", params=query).json()
        walked += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        analysed(database)
    assert walked == [7, 6, 5, 4, 3, 2, 1]


def test_a_prediction_shows_everything(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, positive(0.8, "low_resolution"))
    report(database)
    with database.write() as session:
        first, second = claim_deliveries(session, 32, 60)
        mark_sent(session, first, 0xB000)
        mark_dead(session, second, "sop_class_not_supported", 0x0122)
    shown = api.get("/v1/predictions/1").json()
    assert (shown["outcome"], shown["probability"], shown["voi"]) == ("positive", 0.8, "window")
    assert shown["model"]["threshold"] == 0.5
    assert shown["warnings"] == [{"code": "low_resolution", "detail": "About low_resolution."}]
    assert shown["reasons"] == []
    assert shown["stage_seconds"] == {"read": 0.1, "predict": 0.2}
    assert shown["latency_seconds"] >= 0
    assert shown["instance"]["sop_instance_uid"] == image.sop_instance_uid
    assert shown["instance"]["source"] == "room-1"
    assert shown["study"]["accession_number"] == "ACCESSION-1"
    assert [result["sop_instance_uid"] for result in shown["results"]] == [
        built.sop_instance_uid for built in results_of(image.sop_instance_uid)
    ]
    deliveries = [delivery for result in shown["results"] for delivery in result["deliveries"]]
    assert [(d["destination"], d["state"], d["attempts"], d["last_status"], d["last_error"]) for d in deliveries] == [
        ("pacs", "sent", 1, "0xB000", None),
        ("pacs", "dead", 1, "0x0122", "sop_class_not_supported"),
    ]
    assert "spool" not in str(shown)


def test_a_prediction_that_is_not_there(api: httpx.Client) -> None:
    answer = api.get("/v1/predictions/999")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "urn:pneumo:problem:not_found",
        "code": "not_found", "title": "Not Found", "status": 404, "detail": "There is no prediction 999.",
        "request_id": answer.headers["X-Request-ID"],
    }  # fmt: skip
    for wrong in ("0", "-1", "one", str(2**63)):
        assert api.get(f"/v1/predictions/{wrong}").status_code == 422


def test_reading_about_patients_is_recorded_without_them(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    api.get("/v1/predictions", params={"patient_id": "PATIENT-1", "outcome": "positive"})
    api.get("/v1/predictions/1")
    api.get(f"/v1/studies/{image.study_instance_uid}")
    api.get("/v1/predictions/999")
    api.get("/v1/predictions", params={"limit": 0})
    with database.read() as session:
        events = list(session.scalars(select(AuditEvent).where(AuditEvent.kind == "api.read").order_by(AuditEvent.id)))
    assert {event.actor for event in events} == {"tester"}
    assert all(event.data["request_id"] for event in events)
    told = [
        (event.subject, {name: event.data[name] for name in event.data if name != "request_id"}) for event in events
    ]
    assert told == [
        ("", {
            "route": "/v1/predictions", "address": "127.0.0.1", "rows": 1,
            "filters": {"patient_id": "(given)", "outcome": "positive"},
        }),
        (image.sop_instance_uid, {"route": "/v1/predictions/{prediction_id}", "address": "127.0.0.1", "prediction": 1}),
        (image.study_instance_uid, {"route": "/v1/studies/{study_instance_uid}", "address": "127.0.0.1", "rows": 1}),
    ]  # fmt: skip


def test_models_in_shadow_are_listed_only_when_asked_for(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database, positive(0.2))
    shadow(database, positive(0.9))
    (reported,) = api.get("/v1/predictions").json()["items"]
    assert (reported["role"], reported["outcome"]) == ("active", "negative")
    assert api.get("/v1/predictions", params={"outcome": "positive"}).json()["items"] == []
    (tried,) = api.get("/v1/predictions", params={"role": "shadow"}).json()["items"]
    assert (tried["role"], tried["outcome"], tried["deliveries"]) == ("shadow", "positive", {})
    assert api.get(f"/v1/predictions/{tried['id']}").json()["role"] == "shadow"
    (shown,) = api.get(f"/v1/studies/{image.study_instance_uid}").json()["instances"]
    assert [verdict["id"] for verdict in shown["predictions"]] == [reported["id"]]
    assert 'outcome="positive"' not in api.get("/metrics").text
