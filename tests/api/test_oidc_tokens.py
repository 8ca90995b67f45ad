from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OctKey
from sqlalchemy import select

from api import issuer as issuer_module
from api.issuer import Issuer
from audit.models import AuditEvent
from audit.session import Database
from core.api_settings import OIDC
from tests.api.conftest import StartAPI
from tests.api.issuer import AUDIENCE, TestIssuer, issuing, rsa_key
from tests.services import free_port

Ask = Callable[..., httpx.Response]


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    with issuing(free_port()) as issuer:
        yield issuer


@pytest.fixture
def ask(start_api: StartAPI, issuer: TestIssuer) -> Ask:
    client = start_api(api={"oidc": _settings(issuer)})

    def ask(token: str, path: str = "/v1/events") -> httpx.Response:
        return client.get(path, headers={"Authorization": f"Bearer {token}"})

    return ask


def _settings(issuer: TestIssuer, **changes: Any) -> dict[str, Any]:
    return {
        "issuer": issuer.url,
        "audience": AUDIENCE,
        "algorithms": ["RS256", "ES256"],
        "grants": {"radiology": ["audit:read"], "it": ["admin"]},
    } | changes


def _refusals(database: Database) -> list[str]:
    with database.read() as session:
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.kind == "api.refused").order_by(AuditEvent.id)
        ).all()
    return [event.data["why"] for event in events]


def test_a_token_opens_what_its_groups_are_granted(ask: Ask, issuer: TestIssuer, database: Database) -> None:
    assert ask(issuer.token()).status_code == 200
    assert ask(issuer.token(), "/v1/keys").json()["code"] == "scope_missing"
    assert ask(issuer.token(groups=["radiology", "it", "nobody"]), "/v1/keys").status_code == 200
    assert ask(issuer.token(groups="it"), "/v1/keys").status_code == 200
    assert ask(issuer.token(groups=["nobody"])).status_code == 403
    assert ask(issuer.token(groups=None)).status_code == 403
    with database.read() as session:
        assert {event.actor for event in session.scalars(select(AuditEvent))} == {"oidc:alice"}
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"], "asked once, for all of these"


def test_grants_may_stand_inside_another_claim(start_api: StartAPI, issuer: TestIssuer) -> None:
    client = start_api(api={"oidc": _settings(issuer, grants_claim="realm_access.roles", name_claim="email")})
    token = issuer.token(groups=None, email="a@b.example", realm_access={"roles": ["radiology"]})
    assert client.get("/v1/events", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for wrong in (["radiology"], {"roles": {"radiology": 1}}, "radiology"):
        token = issuer.token(groups=None, email="a@b.example", realm_access=wrong)
        assert client.get("/v1/events", headers={"Authorization": f"Bearer {token}"}).status_code == 403
    token = issuer.token(realm_access={"roles": ["radiology"]})
    assert client.get("/v1/events", headers={"Authorization": f"Bearer {token}"}).status_code == 401, "no name"


_NOW = time.time()
_BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "token_issuer": {"iss": "https://elsewhere.example"},
    "token_issuer ": {"iss": None},
    "token_audience": {"aud": "other"},
    "token_audience ": {"aud": ["other", "others"]},
    "token_audience  ": {"aud": None},
    "token_expired": {"exp": _NOW - 120},
    "token_expired ": {"exp": None},
    "token_malformed": {"exp": "never"},
    "token_not_yet_valid": {"nbf": _NOW + 600},
    "token_not_yet_valid ": {"iat": _NOW + 600},
    "token_type": {"typ": "ID"},
    "token_type ": {"at_hash": "x"},
    "token_type  ": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "token_name": {"sub": None},
    "token_name ": {"sub": ""},
    "token_name  ": {"sub": 7},
}


@pytest.mark.parametrize("why", _BAD_CLAIMS)
def test_each_claim_is_checked(ask: Ask, issuer: TestIssuer, database: Database, why: str) -> None:
    answer = ask(issuer.token(**_BAD_CLAIMS[why]))
    assert (answer.status_code, answer.json()["code"]) == (401, "no_credentials")
    assert _refusals(database) == [why.strip()]


def test_clocks_may_differ_by_a_minute(ask: Ask, issuer: TestIssuer) -> None:
    now = time.time()
    assert ask(issuer.token(exp=now - 45)).status_code == 200
    assert ask(issuer.token(nbf=now + 45, iat=now + 45)).status_code == 200
    assert ask(issuer.token(aud=["other", AUDIENCE])).status_code == 200


def test_only_the_issuer_s_signature_counts(ask: Ask, issuer: TestIssuer, database: Database) -> None:
    good = issuer.token()
    header, claims, signature = good.split(".")
    elliptic = ECKey.generate_key("P-256", {"kid": "first"})
    bad = {
        "token_algorithm": _signed_with_the_public_key(issuer, claims),
        "token_algorithm ": "eyJhbGciOiJub25lIn0." + claims + ".",
        "token_algorithm  ": issuer.token(header={"alg": "RS512"}),
        "token_unknown_key": issuer.token(key=elliptic, header={"alg": "ES256"}),
        "token_unknown_key ": issuer.token(key=rsa_key("other")),
        "token_signature": issuer.token(key=rsa_key("first")),
        "token_signature ": f"{header}.{issuer.token(sub='mallory').split('.')[1]}.{signature}",
        "token_signature  ": f"{header}.{claims}.",
        "token_signature   ": f"{header}.{claims}.{signature[:-3]}==",
        "token_malformed ": "a.b.c",
        "token_malformed  ": "..",
        "token_malformed   ": "e30." + claims + "." + signature,
        "token_size": good + "A" * 9000,
        "token_type": issuer.token(header={"typ": "logout+jwt"}),
    }
    for why, token in bad.items():
        answer = ask(token)
        assert answer.status_code == 401, why
        assert _refusals(database)[-1] == why.strip(), why
    assert ask(good).status_code == 200


def _signed_with_the_public_key(issuer: TestIssuer, claims: str) -> str:
    """Which everybody has: a service that lets the token choose the algorithm would take it for a shared secret."""
    public = issuer.key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"first"}').decode().rstrip("=")
    signature = hmac.digest(public, f"{header}.{claims}".encode(), "sha256")
    return f"{header}.{claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_key_for_something_else_signs_nothing(ask: Ask, issuer: TestIssuer) -> None:
    encryption, other, secret = rsa_key("encryption"), rsa_key("other"), OctKey.generate_key(256, {"kid": "secret"})
    issuer.keys += [encryption, other, secret]
    issuer.marked = {"encryption": {"use": "enc"}, "other": {"alg": "RS512"}}
    for key in (encryption, other):
        assert ask(issuer.token(key=key)).status_code == 401
    assert ask(issuer.token(header={"kid": None})).status_code == 200, "one key fits"


def test_the_issuer_may_change_its_keys_and_be_away(
    ask: Ask, issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.away = True
    answer = ask(issuer.token())
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "10")
    issuer.away = False
    assert ask(issuer.token()).status_code == 503, "not asked again at once"
    monkeypatch.setattr(issuer_module, "_FIRST_PAUSE_SECONDS", 0.0)
    assert ask(issuer.token()).status_code == 200

    new = rsa_key("second")
    issuer.keys = [new]
    asked = len(issuer.asked)
    for _ in range(3):
        assert ask(issuer.token(key=new)).status_code == 401, "asked a moment ago"
    assert len(issuer.asked) == asked
    monkeypatch.setattr(issuer_module, "_PAUSE_SECONDS", 0.0)
    assert ask(issuer.token(key=new)).status_code == 200
    assert ask(issuer.token()).status_code == 401, "withdrawn"

    issuer.away = True
    assert ask(issuer.token(key=new)).status_code == 200, "what is known stays known"
    assert ask(issuer.token(key=rsa_key("third"))).status_code == 401


def test_made_up_key_ids_hold_up_nobody(issuer: TestIssuer) -> None:
    clock = [1000.0]
    ours = Issuer(OIDC.model_validate(_settings(issuer)), clock=lambda: clock[0])
    for _ in range(100):
        assert ours.key("made up", "RS256") is None
        clock[0] += 1
    assert issuer.asked.count("/keys") == 2, "once a minute, and again after a minute although somebody keeps on"


def test_keys_are_renewed_behind_the_callers_back(issuer: TestIssuer) -> None:
    clock = [1000.0]
    ours = Issuer(OIDC.model_validate(_settings(issuer)), clock=lambda: clock[0])
    assert ours.key("first", "RS256") is not None
    issuer.keys = [rsa_key("second")]
    clock[0] += 3601
    assert ours.key("first", "RS256") is not None, "nobody waits"
    deadline = time.monotonic() + 5
    while ours.key("first", "RS256") is not None:
        assert time.monotonic() < deadline, "the keys were not renewed"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "said", [{"issuer": "https://elsewhere.example"}, {"jwks_uri": None}, {"jwks_uri": "http://127.0.0.1:1/keys"}]
)
def test_a_discovery_document_that_is_wrong_is_not_believed(ask: Ask, issuer: TestIssuer, said: dict[str, Any]) -> None:
    issuer.said = said
    assert ask(issuer.token()).status_code == 503


def test_keys_of_ours_work_beside_tokens(api: httpx.Client) -> None:
    assert api.get("/v1/events").status_code == 200
