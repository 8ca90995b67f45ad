"""Whatever answers GET answers HEAD with the same head, leaves the same event, and sends no body."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from audit.session import Database
from tests.audit.rows import analysed

_OF_ONE_REQUEST = {"date", "x-request-id", "content-disposition"}


@pytest.mark.parametrize(
    "path",
    [
        "/health/live", "/v1/predictions", "/v1/predictions/1", "/v1/predictions/77", "/v1/predictions?limit=x",
        "/v1/predictions/export", "/openapi.json", "/metrics", "/sign-in", "/docs/swagger-ui.css", "/no/such/path",
    ],
)  # fmt: skip
def test_the_head_of_an_answer(api: httpx.Client, database: Database, path: str) -> None:
    analysed(database)
    for authorization in (api.headers["Authorization"], ""):
        caller = {"Authorization": authorization}
        head, whole = api.head(path, headers=caller), api.get(path, headers=caller)
        assert head.content == b""
        assert head.status_code == whole.status_code
        of_head, of_whole = (
            {name: value for name, value in answer.headers.items() if name not in _OF_ONE_REQUEST}
            for answer in (head, whole)
        )
        if path != "/metrics" and "request_id" not in whole.text:  # whose length tells nothing
            assert of_head == of_whole
        assert of_head.keys() == of_whole.keys()


def test_to_be_told_about_a_patient_is_an_event_either_way(api: httpx.Client, database: Database) -> None:
    (image,) = analysed(database)
    for path in ("/v1/predictions", "/v1/predictions/export", f"/v1/studies/{image.study_instance_uid}"):
        for method in ("GET", "HEAD"):
            assert api.request(method, path, headers={"X-Request-ID": "same"}).status_code == 200
    with database.read() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.kind.like("api.%")).order_by(AuditEvent.id)).all()
    told = [(event.kind, event.subject, event.actor, event.data) for event in events]
    by_get, by_head = told[:1] + told[2:4] + told[6:7], told[1:2] + told[4:6] + told[7:]
    assert by_get == by_head
    assert [event[0] for event in by_get] == ["api.read", "api.read", "api.exported", "api.read"]


def test_a_known_tag_is_known_to_head(api: httpx.Client) -> None:
    tag = api.head("/v1/predictions").headers["ETag"]
    assert api.head("/v1/predictions", headers={"If-None-Match": tag}).status_code == 304


def test_what_is_not_for_get_is_not_for_head(api: httpx.Client) -> None:
    refused = api.head("/v1/jobs/1/retry")
    assert (refused.status_code, refused.headers["Allow"], refused.content) == (405, "POST", b"")
    assert api.delete("/v1/predictions").headers["Allow"] == "GET, HEAD"
    assert "head" not in {method for path in api.get("/openapi.json").json()["paths"].values() for method in path}
