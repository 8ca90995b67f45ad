from __future__ import annotations

import csv
import io
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import select

from audit.api_keys import create_key
from audit.models import AuditEvent
from audit.session import Database
from core.scopes import Scope
from tests.audit.rows import analysed, positive, received, report


def _exported(database: Database) -> list[dict[str, Any]]:
    with database.read() as session:
        statement = select(AuditEvent).where(AuditEvent.kind == "api.exported").order_by(AuditEvent.id)
        return [row.data for row in session.scalars(statement)]


def _walk(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = api.get(f"/v1/{path}", params=query).json()
        items += page["items"]
        if page["next"] is None:
            return items
        query["cursor"] = page["next"]


@pytest.mark.parametrize("path", ["predictions", "studies", "deliveries"])
def test_an_export_is_the_whole_list_in_both_formats(
    api: httpx.Client, database: Database, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.export_streams._AT_ONCE", 4)
    analysed(database, positive(0.9, "low_resolution", "near_threshold"), [received() for _ in range(9)])
    report(database)
    listed = _walk(api, path)
    assert len(listed) >= 9
    answer = api.get(f"/v1/{path}/export", params={"format": "ndjson"})
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == "no-store"
    assert [json.loads(line) for line in answer.text.splitlines()] == listed
    answer = api.get(f"/v1/{path}/export")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="pneumo-{path}-')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len(listed)
    assert list(rows[0]) == list(listed[0])
    if path == "predictions":
        assert rows[0]["warnings"] == "low_resolution near_threshold"
        assert json.loads(rows[0]["deliveries"]) == {"pending": 2}
        assert rows[0]["recalled_at"] == ""
    told = [(event["format"], event["rows"], event["whole"], event["filters"]) for event in _exported(database)]
    assert told == [("ndjson", len(listed), True, {}), ("csv", len(listed), True, {})]


def test_events_can_be_exported_while_they_are_written(api: httpx.Client, database: Database) -> None:
    analysed(database, instances=[received() for _ in range(3)])
    lines = api.get("/v1/events/export", params={"format": "ndjson", "kind": "instance."}).text.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["instance.received"] * 3
    (event,) = _exported(database)
    assert event["filters"] == {"kind": "(given)"}


def test_a_spreadsheet_runs_nothing_that_a_patient_is_called(api: httpx.Client, database: Database) -> None:
    names = ('=HYPERLINK("http://evil")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")
    for name in names:
        analysed(database, instances=[received(patient_id=name, accession_number="")])
    rows = list(csv.DictReader(io.StringIO(api.get("/v1/predictions/export").text, newline="")))
    assert {row["patient_id"] for row in rows} == {f"'{name}" for name in names}
    lines = api.get("/v1/predictions/export", params={"format": "ndjson"}).text.splitlines()
    assert {json.loads(line)["patient_id"] for line in lines} == set(names)


def test_filters_masks_and_events_are_those_of_the_list(api: httpx.Client, database: Database) -> None:
    analysed(database, positive(0.9), [received(patient_id="SECRET-A")])
    analysed(database, positive(0.1), [received(patient_id="SECRET-B")])
    lines = api.get("/v1/predictions/export", params={"patient_id": "SECRET-B", "format": "ndjson"}).text.splitlines()
    assert [json.loads(line)["probability"] for line in lines] == [0.1]
    assert _exported(database)[0]["filters"] == {"patient_id": "(given)"}
    with database.write() as session:
        key = create_key(session, "engineer", "cli:test", [Scope.AUDIT_READ])
    masked = api.get("/v1/predictions/export", headers={"Authorization": f"Bearer {key}"})
    assert "SECRET" not in masked.text
    assert masked.text.count("(masked)") == 6
    assert api.get("/v1/predictions/export", params={"cursor": "x"}).status_code == 422
    assert api.get("/v1/predictions/export", params={"format": "xlsx"}).status_code == 422
    with database.read() as session:
        assert "SECRET" not in str([row.data for row in session.scalars(select(AuditEvent))])


def test_a_client_that_hangs_up_is_on_record(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.export_streams._AT_ONCE", 1)
    analysed(database, instances=[received() for _ in range(30)])
    hung_up = threading.Event()

    def waits(document: object, _caller: object) -> object:
        hung_up.wait(10)
        return document

    monkeypatch.setattr("api.export_streams.for_caller", waits)
    address = urlsplit(str(api.base_url))
    with socket.create_connection((address.hostname, address.port)) as caller:
        key = api.headers["Authorization"]
        caller.sendall(f"GET /v1/predictions/export HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
        assert caller.recv(1000).startswith(b"HTTP/1.1 200")
    time.sleep(0.3)
    hung_up.set()
    deadline = time.monotonic() + 20
    while not (events := _exported(database)):
        assert time.monotonic() < deadline, "nothing is on record"
        time.sleep(0.05)
    (event,) = events
    assert event["whole"] is False
    assert event["rows"] < 30
