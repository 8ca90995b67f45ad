"""Some thousand made-up images on PostgreSQL: whether indexes serve the lists, and how pages stand against writers."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, select, text

from audit import sample_history
from audit.api_keys import create_key
from audit.chain import HEAD, digest
from audit.models import AuditEvent, ChainHead
from audit.session import Database
from cli.audit_benchmark import QUERIES
from core.scopes import Scope
from core.settings import Settings
from tests.api.conftest import serving
from tests.audit.databases import migrated
from tests.audit.rows import analysed, received
from tests.audit.tampering import verify
from tests.services import free_port

_IMAGES = 4000
_LARGE = {"studies", "instances", "predictions", "warnings", "result_objects", "deliveries", "audit_events"}
_MOST_STATEMENTS = 16  # of one request, the key and the event of the read among them
_COUNT_WHOLE_TABLES = {"sources", "models"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with migrated("postgresql", tmp_path_factory.mktemp("scale")) as url:
        database = Database(url)
        sample_history.fill(database, _IMAGES)
        yield database
        database.close()


@pytest.fixture(scope="module")
def api(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with database.write() as session:
        key = create_key(session, "tester", "cli:test", [Scope.AUDIT_READ, Scope.PHI_READ])
    port, home = free_port(), tmp_path_factory.mktemp("home")
    with (
        serving(Settings(home=Path(home), api={"port": port}), database),  # type: ignore[arg-type]
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/", headers={"X-API-Key": key}, timeout=60) as client,
    ):
        yield client


def _scanned(plan: dict[str, Any]) -> set[str]:
    """Tables that the plan reads from one end to the other."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*(_scanned(each) for each in plan.get("Plans", [])))


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - _COUNT_WHOLE_TABLES))
@pytest.mark.parametrize("few", [100, 5000])
def test_no_query_of_the_benchmark_has_to_read_a_large_table_whole(
    name: str, few: int, api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("listing", "study_filter"):
        monkeypatch.setattr(f"audit.{module}.FEW", few)
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        generator = random.Random(1)  # noqa: S311
        for _ in range(4):
            path, parameters = QUERIES[name](generator, _IMAGES)
            answer = api.get(path, params=parameters)
            assert answer.status_code == 200, answer.text
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    assert 4 <= len(asked) <= 4 * _MOST_STATEMENTS
    with database.engine.connect() as connection:
        # Tables as small as these are rightly read whole. Forbidden to, the planner does so where no index serves.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in asked:
            if "FOR UPDATE" in statement:
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
            assert not _scanned(plan[0]["Plan"]) & _LARGE, statement


def test_the_made_up_history_is_one_the_service_could_have_written(database: Database) -> None:
    with database.read() as session:
        head = session.get_one(ChainHead, HEAD)
        last = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(200)).all()
        assert (last[0].id, last[0].hash) == (head.event_id, head.hash)
        assert all(digest(row) == row.hash for row in last)
        assert all(newer.previous == older.hash for newer, older in pairwise(last))
        assert session.scalar(text("SELECT count(*) FROM predictions")) == _IMAGES
    found = verify(database)
    assert found.whole, found.first_bad
    with pytest.raises(ValueError, match="in use"):
        sample_history.fill(database, 10)


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "newest", "created_from": "2026-01-08"},
        {"sort": "oldest", "created_from": "2026-01-08"},
        {"sort": "probability_high", "source": "x-ray-1"},
    ],
)
def test_pages_are_right_while_others_write(api: httpx.Client, database: Database, query: dict[str, str]) -> None:
    there = {item["id"] for item in _walk(api, query)}
    assert len(there) > 300
    analysed(database)  # makes the rows that both writers would make at once
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            analysed(database, instances=[received(source="x-ray-1") for _ in range(3)])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        walked = _walk(api, query)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    ids = [item["id"] for item in walked]
    assert len(ids) == len(set(ids)), "no row comes twice"
    assert there <= set(ids), "none is missing that was there at the start"
    by = "probability" if "probability" in query["sort"] else "created_at"
    keys = [(item[by], item["id"]) for item in walked]
    assert keys == sorted(keys, reverse=query["sort"] != "oldest")
    with database.read() as session:
        assert session.scalar(text("SELECT max(id) FROM predictions")) > max(there), "others did write"


def _walk(api: httpx.Client, query: dict[str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    parameters = {**query, "limit": "100"}
    while True:
        page = api.get("predictions", params=parameters).json()
        items += page["items"]
        if page["next"] is None:
            return items
        parameters["cursor"] = page["next"]
