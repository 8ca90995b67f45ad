from __future__ import annotations

import httpx
from sqlalchemy import select

from audit.api_keys import create_key
from audit.events import record_event
from audit.models import AuditEvent
from audit.session import Database
from audit.uploads import GivenImage, Request, book_upload
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


def test_a_dashboard_that_reads_for_ever_hides_nothing_of_a_study(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    with database.write() as session:
        for _ in range(1005):
            record_event(session, "api.read", subject=image.study_instance_uid, actor="dashboard")
    timeline = api.get(f"/v1/studies/{image.study_instance_uid}/events").json()
    assert [event["kind"] for event in timeline["items"]] == ["instance.received", "prediction.positive"]
    assert (timeline["left_out"], timeline["reads"], len(timeline["newest_reads"])) == (0, 1005, 100)
    page = api.get(f"/studies/{image.study_instance_uid}", headers={"Accept": "text/html"}).text
    assert "Image received" in page
    assert "Analysed: positive" in page
    assert "Read 1,006 times" in page, "the page's own is one of them"
    assert "The newest 100" in page


def test_an_upload_was_released_to_nobody(api: httpx.Client, database: Database) -> None:
    given = GivenImage(
        principal="dashboard", peer_address="127.0.0.1", content_sha256="ab" * 32, size_bytes=1000,
        media_type="image/png", columns=512, rows=512, use_tta=False, patient_id="MUSTER-1",
    )  # fmt: skip
    with database.write() as session:
        book_upload(session, given, "received/ab/upload.png", Request())
    uid = api.get("/v1/studies").json()["items"][0]["study_instance_uid"]
    page = api.get(f"/studies/{uid}", headers={"Accept": "text/html"}).text
    assert "<dt>Results released</dt><dd>to nobody: whoever uploaded the image got the answer</dd>" in page
