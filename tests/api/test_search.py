from __future__ import annotations

import httpx
from sqlalchemy import select

from audit.api_keys import create_key
from audit.models import AuditEvent
from audit.session import Database
from core.scopes import Scope
from tests.audit.rows import analysed, book, received


def test_a_search_by_patient_is_an_event_that_does_not_name_the_patient(api: httpx.Client, database: Database) -> None:
    book(database, received(patient_id="MUSTER-1"))
    book(database, received(patient_id="OTHER-1"))
    answer = api.get("/v1/search", params={"q": "muster", "limit": 5})
    assert [found["patient_id"] for found in answer.json()["items"]] == ["MUSTER-1"]
    with database.read() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.kind == "api.read")).one()
    assert event.data["filters"] == {"q": "(given)"}
    assert event.data["rows"] == 1


def test_patients_come_masked_and_are_not_searched_without_phi_read(api: httpx.Client, database: Database) -> None:
    image = book(database, received(patient_id="MUSTER-1"))
    with database.write() as session:
        key = create_key(session, "masked", "cli:test", [Scope.AUDIT_READ])
    api.headers["Authorization"] = f"Bearer {key}"
    assert api.get("/v1/search", params={"q": "MUSTER-1"}).json()["items"] == []
    (found,) = api.get("/v1/search", params={"q": image.sop_instance_uid}).json()["items"]
    assert (found["patient_id"], found["accession_number"]) == ("(masked)", "(masked)")


def test_pages_of_a_search_and_unknown_parameters(api: httpx.Client, database: Database) -> None:
    for _ in range(3):
        book(database)
    first = api.get("/v1/search", params={"limit": 2}).json()
    second = api.get("/v1/search", params={"limit": 2, "cursor": first["next"]}).json()
    uids = [found["study_instance_uid"] for found in (*first["items"], *second["items"])]
    assert (len(set(uids)), second["next"]) == (3, None)
    assert api.get("/v1/search", params={"patient": "x"}).status_code == 422


def test_the_day_and_the_events_of_a_study(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    today = api.get("/v1/figures/today").json()
    assert (today["received"], today["outcomes"]) == (1, {"positive": 1})
    assert [worker["alive"] for worker in today["workers"]] == [False, False]
    events = api.get(f"/v1/studies/{image.study_instance_uid}/events").json()["items"]
    assert [event["kind"] for event in events] == ["instance.received", "prediction.positive"]
