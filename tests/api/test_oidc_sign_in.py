from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from audit.session import Database
from tests.api.conftest import StartAPI
from tests.services import free_port


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """oidc-provider-mock, in a process of its own."""
    port = free_port()
    url = f"http://localhost:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"],
        env=os.environ | {"PYTHONWARNINGS": "ignore"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert httpx.get(f"{url}/.well-known/openid-configuration").status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None, "the provider ended while it was starting"
                assert time.monotonic() < deadline, "the provider did not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def pneumo(start_api: StartAPI, provider: str) -> httpx.Client:
    return start_api(
        api={
            "oidc": {
                "issuer": provider,
                "audience": "pneumo-pages",
                "client_id": "pneumo-pages",
                "client_secret": "a secret: with blanks",
                "name_claim": "email",
                "grants": {"radiology": ["audit:read"]},
            }
        }
    )


def _people(provider: str) -> None:
    for name, groups in (("ann", ["radiology", "staff"]), ("bob", ["staff"])):
        claims = {"email": f"{name}@hospital.example", "groups": groups}
        httpx.put(f"{provider}/users/{name}", json=claims).raise_for_status()


def _form_of_provider(pneumo: httpx.Client, then: str = "/search?q=x") -> str:
    answer = pneumo.get("/sign-in/oidc", params={"next": then})
    assert answer.status_code == 303
    return answer.headers["Location"]


def _filled_in(form: str, name: str) -> httpx.URL:
    """Where the provider sends the browser; on our server's address."""
    answer = httpx.post(form, data={"sub": name})
    assert answer.status_code == 302, answer.text
    return httpx.URL(answer.headers["Location"])


def _refusals(database: Database) -> list[str]:
    with database.read() as session:
        found = session.scalars(select(AuditEvent).where(AuditEvent.kind == "session.refused").order_by(AuditEvent.id))
        return [event.data["why"] for event in found]


def test_signed_in_by_the_provider(pneumo: httpx.Client, provider: str, database: Database) -> None:
    _people(provider)
    form = _form_of_provider(pneumo)
    asked = parse_qs(urlsplit(form).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    answer = pneumo.get(_filled_in(form, "ann"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/search?q=x")
    assert "pneumo_oidc" not in pneumo.cookies
    assert pneumo.get("/v1/events").status_code == 200
    assert pneumo.get("/v1/keys").json()["code"] == "scope_missing"
    with database.read() as session:
        started = session.scalars(select(AuditEvent).where(AuditEvent.kind == "session.started")).one()
    assert (started.actor, started.data["by"]) == ("oidc:ann@hospital.example", "oidc")
    assert started.data["scopes"] == ["audit:read"]


def test_who_is_in_no_group_that_is_granted_anything_stays_outside(
    pneumo: httpx.Client, provider: str, database: Database
) -> None:
    _people(provider)
    answer = pneumo.get(_filled_in(_form_of_provider(pneumo), "bob"))
    assert answer.headers["Location"] == "/sign-in?error=no_scopes&next=%2Fsearch%3Fq%3Dx"
    assert "pneumo_session" not in pneumo.cookies
    assert _refusals(database) == ["no_scopes"]


def test_an_answer_counts_once_and_for_the_browser_that_asked(
    pneumo: httpx.Client, provider: str, database: Database
) -> None:
    _people(provider)
    back = _filled_in(_form_of_provider(pneumo), "ann")
    with httpx.Client(base_url=pneumo.base_url) as other:
        assert other.get(back).headers["Location"] == "/sign-in?error=stale"
        other.get("/sign-in/oidc")
        assert other.get(back).headers["Location"] == "/sign-in?error=stale", "another state"
    wrong_state = back.copy_set_param("state", "x")
    assert pneumo.get(wrong_state).headers["Location"] == "/sign-in?error=stale"

    form = _form_of_provider(pneumo)
    back = _filled_in(form, "ann")
    kept = pneumo.cookies["pneumo_oidc"]
    assert pneumo.get(back).headers["Location"] == "/search?q=x"
    with httpx.Client(base_url=pneumo.base_url, cookies={"pneumo_oidc": kept}) as other:
        again = other.get(back)
    assert again.headers["Location"].startswith("/sign-in?error=issuer_refused"), "the code has been used"

    form = _form_of_provider(pneumo)
    mixed_up = _filled_in(form, "ann").copy_set_param("iss", "https://elsewhere.example")
    assert pneumo.get(mixed_up).headers["Location"].startswith("/sign-in?error=issuer_refused")
    denied = httpx.post(_form_of_provider(pneumo), data={"sub": "ann", "action": "deny"})
    said = httpx.URL(denied.headers["Location"])
    state = parse_qs(urlsplit(_form_of_provider(pneumo)).query)["state"][0]
    refused = pneumo.get("/sign-in/oidc/callback", params={"error": said.params["error"], "state": state})
    assert refused.headers["Location"].startswith("/sign-in?error=issuer_refused")
    assert _refusals(database) == ["stale", "no_token", "another_issuer", "no_code"]


def test_a_cookie_that_somebody_wrote_leads_nowhere(pneumo: httpx.Client) -> None:
    for cookie in ("", "e30=", "bm8=", "x", "ä".encode().hex()):
        pneumo.cookies.set("pneumo_oidc", cookie)
        answer = pneumo.get("/sign-in/oidc/callback", params={"code": "x", "state": "x"})
        assert answer.headers["Location"] == "/sign-in?error=stale"


def test_the_provider_s_id_token_opens_nothing_by_itself(pneumo: httpx.Client, provider: str) -> None:
    _people(provider)
    client = {"client_id": "pneumo-pages", "redirect_uri": "http://localhost/back"}
    form = httpx.URL(f"{provider}/oauth2/authorize").copy_merge_params(
        {**client, "response_type": "code", "scope": "openid", "nonce": "n"}
    )
    code = _filled_in(str(form), "ann").params["code"]
    said = httpx.post(
        f"{provider}/oauth2/token",
        data={**client, "grant_type": "authorization_code", "code": code},
        auth=("pneumo-pages", "any"),
    ).json()
    for token in (said["id_token"], said["access_token"]):
        assert pneumo.get("/v1/events", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_the_provider_may_be_away(start_api: StartAPI) -> None:
    oidc = {"issuer": f"http://127.0.0.1:{free_port()}", "audience": "x", "client_id": "x"}
    client = start_api(api={"oidc": oidc})
    assert client.get("/sign-in/oidc").headers["Location"] == "/sign-in?error=issuer_away"
    assert client.get("/health/live").status_code == 200


def test_without_a_client_id_there_is_no_such_way_in(start_api: StartAPI) -> None:
    assert start_api().get("/sign-in/oidc").status_code == 404
    client = start_api(api={"oidc": {"issuer": "http://127.0.0.1:1", "audience": "x"}})
    assert client.get("/sign-in/oidc").status_code == 404
    assert client.get("/sign-in/oidc/callback", params={"code": "x", "state": "x"}).status_code == 404
