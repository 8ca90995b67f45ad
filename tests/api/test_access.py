from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from audit.api_keys import create_key, revoke_key
from audit.session import Database
from core.scopes import Scope
from tests.api.conftest import StartAPI
from tests.audit.rows import book

_NEEDS_A_KEY = ("/v1/predictions", "/v1/predictions/1", "/v1/studies/1.2.3", "/v1/events")
_NEEDS_NONE = ("/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json")


@pytest.mark.parametrize("path", _NEEDS_A_KEY)
def test_no_key_no_answer(start_api: StartAPI, path: str) -> None:
    answer = start_api().get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "pneumo keys create" in answer.json()["detail"]


def test_a_key_comes_in_either_header_until_it_is_revoked(start_api: StartAPI, database: Database) -> None:
    with database.write() as session:
        key = create_key(session, "reader", "cli:test", list(Scope))
    client = start_api()
    as_bearer, as_header = {"Authorization": f"Bearer {key}"}, {"X-API-Key": key}
    for headers in (as_bearer, as_header):
        assert client.get("/v1/events", headers=headers).status_code == 200
    for headers in ({"Authorization": f"Basic {key}"}, {"X-API-Key": key[:-1]}, {"Authorization": "Bearer"}):
        assert client.get("/v1/events", headers=headers).status_code == 401
    with database.write() as session:
        revoke_key(session, "reader", "cli:test")
    for headers in (as_bearer, as_header):
        assert client.get("/v1/events", headers=headers).status_code == 401


def test_answers_stay_out_of_caches_and_frames(api: httpx.Client, database: Database) -> None:
    book(database)
    for path in (*_NEEDS_A_KEY, *_NEEDS_NONE, "/nothing/here"):
        headers = api.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Content-Security-Policy" in headers
        assert "server" not in headers


def test_an_unknown_path_and_method_are_problems_too(api: httpx.Client) -> None:
    assert api.get("/v1/nothing").json()["title"] == "Not Found"
    assert api.delete("/v1/predictions/1").json()["status"] == 405


def test_a_failure_is_answered_and_logged_without_its_text(
    api: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_all: object, **_named: object) -> None:
        raise RuntimeError("row of SECRET^PATIENT")

    monkeypatch.setattr("api.predictions.find_predictions", fail)
    answer = api.get("/v1/predictions")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "The service failed to answer; its log has the cause."
    assert answer.headers["Cache-Control"] == "no-store"
    output = "".join(capfd.readouterr()) + caplog.text  # the latter once any test has set logs up
    assert "SECRET" not in answer.text + output
    assert "RuntimeError" in output


def test_the_api_needs_neither_torch_nor_a_dicom_network() -> None:
    program = (
        "import sys, api.app, api.server; "
        "print(sorted({'torch', 'pynetdicom', 'highdicom', 'pytorch_grad_cam', 'cv2'} & sys.modules.keys()))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"
