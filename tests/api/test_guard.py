from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from api import connections, guard
from audit.api_keys import create_key
from audit.session import Database
from core.scopes import Scope
from tests.api.conftest import StartAPI

_TOO_LONG = guard.BODY_BYTES + 1


@pytest.fixture(scope="module", params=["sqlite"])
def database_url(database_url: str) -> str:
    return database_url


def _administrator(client: httpx.Client, database: Database) -> None:
    with database.write() as session:
        client.headers["X-API-Key"] = create_key(session, "administrator", "cli:test", list(Scope))


def _speak(client: httpx.Client, *parts: bytes, pause: float = 0.0) -> bytes:
    """What the server says until it closes the connection."""
    said = b""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
                if pause and select.select([connection], [], [], 0)[0]:  # before a reset takes it away
                    said += connection.recv(65536)
            while received := connection.recv(65536):
                said += received
        except (ConnectionResetError, BrokenPipeError):
            pass
    return said


def test_a_long_body_is_refused_before_it_is_read(start_api: StartAPI, database: Database) -> None:
    client = start_api()
    for path in ("/v1/keys", "/sign-in", "/nothing/here"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {_TOO_LONG}\r\n\r\n"
        said = _speak(client, head.encode())
        assert said.startswith(b"HTTP/1.1 413 "), "not one byte of it was sent"
        assert b"body_too_large" in said
    _administrator(client, database)
    assert client.post("/v1/keys", content=b" " * guard.BODY_BYTES).status_code == 422


def test_a_body_of_unknown_length_is_counted_as_it_comes(start_api: StartAPI, database: Database) -> None:
    client = start_api()
    _administrator(client, database)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    try:
        answer = client.post("/v1/keys", content=endless())
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    except httpx.WriteError:
        pass  # the server closed while we were still sending
    assert sent < 64 * guard.BODY_BYTES
    assert client.get("/v1/keys").status_code == 200


@pytest.mark.parametrize("more", [1, 5_000, 45_000])
def test_a_head_has_an_end(start_api: StartAPI, more: int) -> None:
    client, size = start_api(), connections.HEAD_BYTES
    line, host = b"GET /health/live", b" HTTP/1.1\r\nHost: x\r\n"
    for said in (
        _speak(client, line + host + b"X-More: " + b"x" * (size + more) + b"\r\n\r\n"),
        _speak(client, line + host, b"X-More: " + b"x" * (size + more), pause=0.1),
        _speak(client, line + host + b"X-More: " + b" " * (size + more) + b"x\r\n\r\n"),
        _speak(client, line + host + b"X: x\r\n" * (size // 6 + more) + b"\r\n"),
    ):
        assert said.startswith(b"HTTP/1.1 431 ")
        assert b"at most 16384 bytes" in said
    for said in (
        _speak(client, line + b"?" + b"x" * (size + more) + host + b"\r\n"),
        _speak(client, line + b"?" + b"x" * (size + more), pause=0.1),
    ):
        assert said.startswith(b"HTTP/1.1 414 ")
        assert said.count(b"HTTP/1.1 ") == 1


def test_a_head_of_just_that_length_is_read(start_api: StartAPI) -> None:
    client = start_api()
    begin, end = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-More: ", b"\r\n\r\n"
    head = begin + b"x" * (connections.HEAD_BYTES - len(begin) - len(end)) + end
    close = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert _speak(client, head * 3 + close).count(b"HTTP/1.1 200 ") == 4, "and so is each that follows"
    said = _speak(client, head + head.replace(b"x\r\n\r\n", b"xx\r\n\r\n"))
    assert (said.count(b"HTTP/1.1 200 "), said.count(b"HTTP/1.1 431 ")) == (1, 1)


def test_a_body_with_two_lengths_is_refused_and_the_connection_closed(start_api: StartAPI) -> None:
    """RFC 9112 6.1: a proxy that goes by the other one takes part of it for another request."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"
    for accept in (b"application/json", b"text/html"):
        said = _speak(start_api(), head + b"Accept: " + accept + b"\r\n\r\n0\r\n\r\n" + hidden)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in said.lower()
        assert b"never both" in said
        assert said.count(b"HTTP/1.1 ") == 1


def test_who_sends_a_head_drop_by_drop_is_cut_off(start_api: StartAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    client = start_api()
    began = time.monotonic()
    assert _speak(client, *[b"G", b"E", b"T", b" ", b"/"] * 4, pause=0.1) == b""
    assert _speak(client) == b"", "and who sends nothing at all"
    assert time.monotonic() - began < 10
    again = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    said = _speak(client, again, *[b"G", b"E", b"T"] * 4, pause=0.1)
    assert said.count(b"HTTP/1.1 200") == 1, "nor after a request that was whole"


def test_who_sends_a_body_drop_by_drop_is_cut_off(
    start_api: StartAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_PATIENCE_SECONDS", 0.5)
    client = start_api()
    _administrator(client, database)
    head = (
        f"POST /v1/keys HTTP/1.1\r\nHost: x\r\nX-API-Key: {client.headers['X-API-Key']}\r\nContent-Length: 100\r\n\r\n"
    )
    said = _speak(client, head.encode(), *[b" "] * 20, pause=0.1)
    assert said.startswith(b"HTTP/1.1 408 ")


def test_who_does_not_read_the_answer_is_cut_off(start_api: StartAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.5)
    client = start_api()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((client.base_url.host, client.base_url.port or 80))
        for _ in range(8):  # each answer is over a megabyte
            connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
        received = 0
        try:
            while part := connection.recv(65536):
                received += len(part)
        except ConnectionResetError:
            pass
    assert received < 8 * 1024**2
    assert client.get("/health/live").status_code == 200


def test_each_kind_of_answer_has_its_policy(start_api: StartAPI, database: Database) -> None:
    client = start_api()
    _administrator(client, database)
    for path, policy in {
        "/v1/events": "default-src 'none'; base-uri",
        "/v1/nothing": "default-src 'none'; base-uri",
        "/health/live": "default-src 'none'; base-uri",
        "/sign-in": "default-src 'none'; script-src 'self'; style-src 'self';",
        "/docs": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'",
        "/redoc": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'",
    }.items():
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith(policy), path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store", path
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers, "plain HTTP"
        assert "unsafe-eval" not in headers["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-inline'" not in headers["Content-Security-Policy"]


def test_pages_of_other_origins_may_ask_where_they_are_named(start_api: StartAPI, database: Database) -> None:
    client = start_api(api={"cors_origins": ["https://friend.example"]})
    _administrator(client, database)
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key,Content-Type"}
    friend, stranger = {"Origin": "https://friend.example"}, {"Origin": "https://stranger.example"}
    allowed = client.options("/v1/keys", headers=friend | preflight)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "x-api-key" in allowed.headers["Access-Control-Allow-Headers"].lower()
    assert client.options("/v1/keys", headers=stranger | preflight).status_code == 400
    answer = client.get("/v1/keys", headers=friend)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    for one in (allowed, answer, client.get("/v1/keys", headers=stranger)):
        assert "Access-Control-Allow-Credentials" not in one.headers
    assert "Access-Control-Allow-Origin" not in client.get("/v1/keys", headers=stranger).headers
    refused = client.get("/v1/keys", headers=friend | {"X-API-Key": "wrong"})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://friend.example", "scripts can read why"
    without = start_api()
    assert "Access-Control-Allow-Origin" not in without.get("/health/live", headers=friend).headers


def test_no_redirect_follows_the_host_that_a_request_names(start_api: StartAPI) -> None:
    answer = start_api().get("/v1/events/", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 404
    assert "Location" not in answer.headers
