from __future__ import annotations

import httpx

from audit.events import record_event
from audit.models import now
from audit.session import Database
from tests.audit.rows import book


def test_events_are_filtered_and_paged_newest_first(api: httpx.Client, database: Database) -> None:
    image = book(database)
    start = now()
    for number in range(5):
        with database.write() as session:
            record_event(session, "association.refused", actor=f"STRANGER{number}", address="10.0.0.9")
    page = api.get("/v1/events", params={"kind": "association.refused", "limit": 3}).json()
    assert [item["actor"] for item in page["items"]] == ["STRANGER4", "STRANGER3", "STRANGER2"]
    assert page["items"][0]["data"] == {"address": "10.0.0.9"}
    rest = api.get("/v1/events", params={"kind": "association.refused", "limit": 3, "cursor": page["next"]}).json()
    assert [item["actor"] for item in rest["items"]] == ["STRANGER1", "STRANGER0"]
    assert rest["next"] is None
    (received,) = api.get("/v1/events", params={"subject": image.sop_instance_uid}).json()["items"]
    assert (received["kind"], received["actor"]) == ("instance.received", "XRAY1")
    since = api.get("/v1/events", params={"since": start.isoformat()}).json()["items"]
    assert {item["kind"] for item in since} == {"association.refused"}
    assert api.get("/v1/events", params={"since": "soon"}).status_code == 422
