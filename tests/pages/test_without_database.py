"""What browsers and programs get while the database is away, and where the service itself fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from api.pages import today
from audit.session import Database
from tests.services import require_postgresql

_PROGRAM = {"Accept": "application/json"}


@contextmanager
def _away(database: Database) -> Iterator[None]:
    name = database.engine.url.database
    server = create_engine(make_url(require_postgresql()), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                           {"name": name})  # fmt: skip
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    server.dispose()


def test_without_the_database_pages_say_so_and_come_back_with_it(client: httpx.Client, books: Database) -> None:
    client.post("/sign-in", data={"key": client.headers.pop("X-API-Key")})
    with _away(books):
        for path in ("/", "/search", "/studies/1.2.3", "/keys", "/nowhere"):
            page = client.get(path)
            assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8"), path
            assert "The service cannot answer now" in page.text
            assert page.headers["retry-after"] == "10"
        assert "Der Dienst kann gerade nicht antworten" in client.get("/", headers={"Accept-Language": "de"}).text
        signing_in = client.post("/sign-in", data={"key": "pneumo_00000000_" + "x" * 43})
        assert (signing_in.status_code, "The service cannot answer now" in signing_in.text) == (503, True)
        for path in ("/v1/studies", "/v1/events", "/metrics"):
            problem = client.get(path, headers=_PROGRAM)
            assert problem.headers["content-type"] == "application/problem+json"
            assert (problem.status_code, problem.json()["code"]) == (503, "unavailable"), path
        assert client.get("/health/live").status_code == 200
    assert client.get("/").status_code == 200
    assert "tester" in client.get("/nowhere").text, "the sign-in was not lost"


def test_a_failure_of_our_own_is_a_page_too(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("PATIENT-1")

    monkeypatch.setattr(today, "show_today", fail)
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "The service failed to answer" in page.text
    assert "tester" in page.text, "whoever is known still is"
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/", headers=_PROGRAM).json()["code"] == "internal"
    assert "PATIENT-1" not in page.text
