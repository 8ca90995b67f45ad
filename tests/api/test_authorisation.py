"""Every route against every scope. A route that is not in the table fails: decide who may call it, then add a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import update

from api.app import create_app
from audit.api_keys import create_key, revoke_key
from audit.models import APIKey, now
from audit.session import Database
from core.scopes import Scope
from core.settings import Settings
from tests.api.conftest import StartAPI


@dataclass(frozen=True)
class Public:
    """For everybody: tells nothing of a patient, changes nothing."""


@dataclass(frozen=True)
class Needs:
    scopes: frozenset[Scope]


@dataclass(frozen=True)
class Page(Needs):
    """Whoever is not known is sent to the sign-in."""


def needs(*scopes: Scope) -> Needs:
    return Needs(frozenset(scopes))


def page(*scopes: Scope) -> Page:
    return Page(frozenset(scopes))


_READ, _PREDICT, _WORK = needs(Scope.AUDIT_READ), needs(Scope.PREDICT), needs(Scope.JOBS_WRITE)
_ADMIN = needs(Scope.ADMIN)
_READ_PAGE, _WORK_PAGE, _ADMIN_PAGE = page(Scope.AUDIT_READ), page(Scope.JOBS_WRITE), page(Scope.ADMIN)
_PICTURE = needs()  # which of audit:read + phi:read and predict is needed depends on the picture: tested beside it
ROUTES: dict[str, Public | Needs] = {
    "GET /v1/predictions": _READ,
    "GET /v1/predictions/export": _READ,
    "GET /v1/predictions/{prediction_id}": _READ,
    "GET /v1/predictions/{prediction_id}/feedback": _READ,
    "POST /v1/predictions/{prediction_id}/feedback": needs(Scope.FEEDBACK_WRITE),
    "GET /v1/predictions/{prediction_id}/{kind}.png": _PICTURE,
    "GET /v1/feedback": _READ,
    "GET /v1/feedback/figures": _READ,
    "GET /v1/studies": _READ,
    "GET /v1/studies/export": _READ,
    "GET /v1/studies/{study_instance_uid}": _READ,
    "GET /v1/studies/{study_instance_uid}/events": _READ,
    "GET /v1/instances": _READ,
    "GET /v1/deliveries": _READ,
    "GET /v1/deliveries/export": _READ,
    "GET /v1/dead-letters": _READ,
    "GET /v1/patients": needs(Scope.AUDIT_READ, Scope.PHI_READ),
    "GET /v1/sources": _READ,
    "GET /v1/models": _READ,
    "GET /v1/events": _READ,
    "GET /v1/events/export": _READ,
    "GET /v1/audit/chain": _READ,
    "GET /v1/alerts": _READ,
    "GET /v1/drift": _READ,
    "GET /v1/figures/today": _READ,
    "GET /v1/search": _READ,
    "POST /predict": _PREDICT,
    "POST /v1/predict": _PREDICT,
    "POST /v1/predict/batch": _PREDICT,
    "GET /v1/predict/{sop_instance_uid}": _PREDICT,
    "GET /model/info": _PREDICT,
    "POST /v1/jobs/{job_id}/retry": _WORK,
    "POST /v1/studies/{study_instance_uid}/reanalyse": _WORK,
    "POST /v1/deliveries/{delivery_id}/requeue": _WORK,
    "POST /v1/alerts/{alert_id}/acknowledge": _WORK,
    "GET /v1/keys": _ADMIN,
    "POST /v1/keys": _ADMIN,
    "POST /v1/keys/{name}/revoke": _ADMIN,
    "GET /": _READ_PAGE,
    "GET /search": _READ_PAGE,
    "POST /search": _READ_PAGE,
    "GET /studies/{study_instance_uid}": _READ_PAGE,
    "GET /r/{sop_instance_uid}": _READ_PAGE,
    "GET /models": _READ_PAGE,
    "GET /sources": _READ_PAGE,
    "GET /dead-letters": _READ_PAGE,
    "GET /alerts": _READ_PAGE,
    "GET /audit": _READ_PAGE,
    "GET /feedback": _READ_PAGE,
    "POST /predictions/{prediction_id}/feedback": page(Scope.FEEDBACK_WRITE),
    "POST /jobs/{job_id}/retry": _WORK_PAGE,
    "POST /studies/{study_instance_uid}/reanalyse": _WORK_PAGE,
    "POST /deliveries/{delivery_id}/requeue": _WORK_PAGE,
    "POST /alerts/{alert_id}/acknowledge": _WORK_PAGE,
    "GET /account": page(),  # anybody who is signed in
    "GET /keys": _ADMIN_PAGE,
    "POST /keys": _ADMIN_PAGE,
    "POST /keys/{name}/revoke": _ADMIN_PAGE,
    "GET /health": Public(),
    "GET /health/live": Public(),
    "GET /health/ready": Public(),
    "GET /metrics": Public(),
    "GET /openapi.json": Public(),
    "GET /docs": Public(),
    "GET /docs/start.js": Public(),
    "GET /docs/swagger-ui-bundle.js": Public(),
    "GET /docs/swagger-ui.css": Public(),
    "GET /docs/redoc.standalone.js": Public(),
    "GET /redoc": Public(),
    "GET /static/{name}": Public(),
    "GET /sign-in": Public(),
    "POST /sign-in": Public(),
    "POST /sign-out": Public(),
    "GET /sign-in/oidc": Public(),
    "GET /sign-in/oidc/callback": Public(),
    "POST /preferences": Public(),
}
_GUARDED = {route: rule for route, rule in ROUTES.items() if isinstance(rule, Needs)}
_FILLED_IN = {"study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.3", "name": "nobody", "kind": "overlay"}
_NOT_LET_IN = {401, 403}


@pytest.fixture(scope="module", params=["sqlite"])
def database_url(database_url: str) -> str:
    return database_url


@pytest.fixture
def client(start_api: StartAPI) -> httpx.Client:
    return start_api()


def _ask(client: httpx.Client, route: str, **headers: str) -> httpx.Response:
    method, path = route.split(" ")
    return client.request(method, re.sub(r"{(\w+)}", lambda part: _FILLED_IN.get(part[1], "1"), path), headers=headers)


def _key(database: Database, name: str, *scopes: Scope) -> dict[str, str]:
    with database.write() as session:
        return {"X-API-Key": create_key(session, name, "cli:test", scopes)}


def _turned_away(answer: httpx.Response, rule: Public | Needs) -> bool:
    if isinstance(rule, Page) and answer.status_code == 303:
        return answer.headers["Location"].startswith("/sign-in")
    return answer.status_code == 401 and answer.json()["code"] == "no_credentials"


def _routes(app_settings: Settings, database: Database) -> Iterator[str]:
    for route in iter_route_contexts(create_app(app_settings, database).routes):
        yield from (f"{method} {route.path}" for method in route.methods or () if method != "HEAD")


def test_the_table_has_every_route(tmp_path: Path, database: Database) -> None:
    found = list(_routes(Settings(home=tmp_path), database))
    assert len(found) == len(set(found))
    assert set(found) - ROUTES.keys() == set(), "new routes: who may call them?"
    assert ROUTES.keys() - set(found) == set(), "routes that are gone"


def test_strangers_meet_the_public_routes_only(client: httpx.Client) -> None:
    let_in = {route for route, rule in ROUTES.items() if not _turned_away(_ask(client, route), rule)}
    assert let_in == ROUTES.keys() - _GUARDED.keys()


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_opens_its_routes_and_no_other(client: httpx.Client, database: Database, scope: Scope) -> None:
    key = _key(database, "one scope", scope)
    opened = {route for route in _GUARDED if _ask(client, route, **key).status_code not in _NOT_LET_IN}
    picture = {route for route, rule in ROUTES.items() if rule is _PICTURE}
    assert opened - picture == {route for route, rule in _GUARDED.items() if rule.scopes <= {scope}} - picture


@pytest.mark.parametrize("scope", Scope)
def test_without_one_scope_its_routes_stay_closed(client: httpx.Client, database: Database, scope: Scope) -> None:
    key = _key(database, "one scope less", *(set(Scope) - {scope}))
    closed = {route for route in _GUARDED if _ask(client, route, **key).status_code in _NOT_LET_IN}
    assert closed == {route for route, rule in _GUARDED.items() if scope in rule.scopes}


def test_all_scopes_open_all_routes(client: httpx.Client, database: Database) -> None:
    key = _key(database, "all scopes", *Scope)
    assert [route for route in _GUARDED if _ask(client, route, **key).status_code in _NOT_LET_IN] == []


def test_a_key_that_is_over_opens_nothing(client: httpx.Client, database: Database) -> None:
    revoked, expired = _key(database, "revoked", *Scope), _key(database, "expired", *Scope)
    with database.write() as session:
        revoke_key(session, "revoked", "cli:test")
        session.execute(update(APIKey).where(APIKey.name == "expired").values(expires_at=now() - timedelta(seconds=1)))
    for key in (revoked, expired, {"Authorization": "Bearer a.b.c"}, {"X-API-Key": "x"}):
        opened = [route for route in _GUARDED if _ask(client, route, **key).status_code != 401]
        assert opened == []


def test_who_is_signed_in_changes_nothing_without_the_page_s_token(client: httpx.Client, database: Database) -> None:
    key = _key(database, "administrator", *Scope)["X-API-Key"]
    assert client.post("/sign-in", data={"key": key}).headers["Location"] == "/"
    for route in _GUARDED:
        answer = _ask(client, route)
        if route.startswith("GET "):
            assert answer.status_code not in _NOT_LET_IN, route
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), route


def test_anonymous_callers_have_the_scopes_that_are_configured(start_api: StartAPI) -> None:
    client = start_api(api={"anonymous_scopes": ["audit:read"]})
    opened = {route for route in _GUARDED if _ask(client, route).status_code not in _NOT_LET_IN}
    readable = {route for route, rule in _GUARDED.items() if rule.scopes == {Scope.AUDIT_READ}}
    assert opened == readable | {"GET /account"}
