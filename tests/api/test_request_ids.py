"""One id for a request: in the answer, the problem document, the log line and the events it leads to."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from audit.session import Database
from core.logs import configure_logs
from tests.api.conftest import StartAPI


@pytest.fixture
def logging_as_in_service() -> Iterator[None]:
    """Set up before caplog looks for its own handler; put back for the other tests."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    configure_logs("json")
    yield
    root.handlers[:] = before


def refusals(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == "api.refused")))


def _access_lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.msg for record in caplog.records if record.name == "pneumo.api.access"]


def test_a_well_formed_id_comes_back_and_another_is_replaced(api: httpx.Client) -> None:
    assert api.get("/health/live", headers={"X-Request-ID": "ward-7.x_1"}).headers["x-request-id"] == "ward-7.x_1"
    for bad in ("", "a" * 65, "two words", "name<script>"):
        made = api.get("/health/live", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made), f"{bad!r} must not become a name in our logs"


def test_every_problem_names_its_request(api: httpx.Client) -> None:
    for path in ("/v1/nothing", "/v1/predictions?limit=x", "/v1/predictions/123456"):
        answer = api.get(path, headers={"X-Request-ID": "q-1"})
        assert answer.status_code >= 400
        assert answer.json()["request_id"] == answer.headers["x-request-id"] == "q-1"


def test_one_log_line_a_request_without_what_the_caller_filled_in(
    logging_as_in_service: None, api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pneumo")
    api.get("/v1/studies/1.2.3?", headers={"X-Request-ID": "seen"})
    api.get("/v1/predictions", params={"patient_id": "SECRET-1"})
    httpx.get(api.base_url.join("/v1/predictions"))
    api.head("/health/live")
    deadline = time.monotonic() + 10
    while len(found := _access_lines(caplog)) < 4 and time.monotonic() < deadline:  # written once the answer is sent
        time.sleep(0.02)
    assert [(line["method"], line["route"], line["status"], line["caller"]) for line in found] == [
        ("GET", "/v1/studies/{study_instance_uid}", 404, "tester"),
        ("GET", "/v1/predictions", 200, "tester"),
        ("GET", "/v1/predictions", 401, None),
        ("HEAD", "/health/live", 200, None),
    ]
    assert found[0]["request_id"] == "seen"
    assert found[0]["ms"] >= 0
    written = " ".join(str(record.msg) for record in caplog.records if record.name.startswith("pneumo"))
    assert "SECRET-1" not in written
    assert "1.2.3" not in written


def test_a_bad_key_is_one_event_a_minute_with_its_request(start_api: StartAPI, database: Database) -> None:
    stranger = start_api()
    assert stranger.get("/v1/predictions").status_code == 401
    assert refusals(database) == [], "whoever presents nothing was not refused anything yet"
    for number in range(5):
        answer = stranger.get("/v1/predictions", headers={"X-API-Key": "wrong", "X-Request-ID": f"try-{number}"})
        assert answer.status_code == 401
    (event,) = refusals(database)
    assert event.data["route"] == "/v1/predictions"
    assert event.data["address"] == "127.0.0.1"
    assert event.data["request_id"] == "try-0"
    assert "wrong" not in json.dumps(event.data)
