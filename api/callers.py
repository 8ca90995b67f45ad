"""Who is asking: by a key, a token, the cookie of a sign-in, or nobody known."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.access import Access, AccessOfApp
from api.forgery import SAFE_METHODS, GivenToken, from_elsewhere, is_token
from api.issuer import IssuerAway
from api.oidc import TokenRefused
from api.problems import Code, Refusal
from api.request_ids import route_of
from api.state import DatabaseOfApp
from audit.api_keys import ANONYMOUS, KeyFault, look_up, note_use, prefix_of, used_lately
from audit.browser_sessions import session_of
from audit.session import Database
from core.scopes import Scope

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="Bearer",
    description="`Authorization: Bearer pneumo_...`, a key from `pneumo keys create`; or, where OpenID Connect is "
    "configured, an access token of the issuer.",
)
_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="X-API-Key", description="A key where that is easier to send."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request comes from."""

    name: str
    """Of the key; ``oidc:`` and the name in a token; ``anonymous`` where the configuration lets strangers in."""
    scopes: frozenset[Scope]
    address: str
    route: str
    """The path's pattern, without what the caller filled in."""
    csrf_token: str = ""
    """Of someone signed in to the pages: goes into each form, as the field ``csrf_token``."""
    session_id: int | None = None
    """Of the sign-in; None for whoever sends a key or a token."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


def _credentials(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    header: Annotated[str | None, Depends(_HEADER)],
) -> str | None:
    return bearer.credentials if bearer else header


def find_caller(
    request: Request,
    database: DatabaseOfApp,
    access: AccessOfApp,
    presented: Annotated[str | None, Depends(_credentials)],
    csrf_token: GivenToken,
) -> Caller | None:
    """None where the request comes without credentials; raises Refusal where these are wrong."""
    if presented is not None:
        caller = _caller_of(request, *_presenter(request, access, database, presented))
    else:
        found = _at_browser(request, database, access)
        if found is None:
            return None
        caller = found
        if request.method not in SAFE_METHODS:
            _refuse_forgery(request, access, caller, csrf_token)
    return caller


def caller_at_browser(request: Request) -> Caller | None:
    """Without a route that asks: for the page of an error, which tells nothing and changes nothing."""
    return _at_browser(request, request.app.state.database, request.app.state.access)


def _at_browser(request: Request, database: Database, access: Access) -> Caller | None:
    return _signed_in(request, database, access) or _anonymous(request, access)


def _caller_of(
    request: Request, name: str, scopes: frozenset[Scope], csrf_token: str = "", session_id: int | None = None
) -> Caller:
    caller = Caller(name, scopes, address_of(request), _route(request), csrf_token, session_id)
    request.state.caller = caller  # for the request's line in the log, and the page of an error
    return caller


def _presenter(request: Request, access: Access, database: Database, presented: str) -> tuple[str, frozenset[Scope]]:
    """Name and scopes of whoever sends a key or a token."""
    if access.tokens is not None and access.tokens.may_be_token(presented):
        try:
            identity = access.tokens.bearer(presented)
        except IssuerAway as exc:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                Code.UNAVAILABLE,
                "The issuer of tokens does not answer, and its keys are not known yet. Keys of this service work.",
                {"Retry-After": "10"},
            ) from exc
        except TokenRefused as exc:
            record_refusal(access, address_of(request), _route(request), f"token_{exc.code}")
            raise no_credentials() from exc
        return identity.name, identity.scopes
    with database.read() as session:
        key = look_up(session, presented)
    if isinstance(key, KeyFault):
        record_refusal(access, address_of(request), _route(request), f"key_{key}", prefix=prefix_of(presented))
        raise no_credentials()
    if not used_lately(key):
        with database.write() as session:
            note_use(session, key)
    return key.name, frozenset(Scope(scope) for scope in key.scopes)


def _signed_in(request: Request, database: Database, access: Access) -> Caller | None:
    token = request.cookies.get(access.session_cookie)
    if not token:
        return None
    with database.read() as session:
        row = session_of(session, token)
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    return _caller_of(request, row.principal, scopes, row.csrf_token, row.id)


def _anonymous(request: Request, access: Access) -> Caller | None:
    """A page elsewhere can have its own name resolve to our loopback; then the Host it sends is that name."""
    if not access.anonymous_scopes or not _is_at_home(request, access):
        return None
    return _caller_of(request, ANONYMOUS, access.anonymous_scopes)


def _is_at_home(request: Request, access: Access) -> bool:
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host in {"localhost", urlsplit(access.public_origin).hostname}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_forgery(request: Request, access: Access, caller: Caller, given: str) -> None:
    signed_in = caller.session_id is not None
    friends = {access.public_origin} if signed_in else {access.public_origin, *access.cors_origins}
    if not from_elsewhere(request, friends) and (not signed_in or is_token(given, caller.csrf_token)):
        return
    record_refusal(access, caller.address, caller.route, Code.CSRF, actor=caller.name)
    raise Refusal(
        HTTPStatus.FORBIDDEN,
        Code.CSRF,
        "The form came from elsewhere or is too old: open the page again and repeat it. Scripts send a key instead "
        "of a cookie, or the page's token as `X-CSRF-Token`.",
    )


def no_credentials() -> Refusal:
    """The same answer whatever is wrong: nobody learns which keys there were."""
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        Code.NO_CREDENTIALS,
        "Give a valid API key as `Authorization: Bearer ...` or `X-API-Key: ...`; `pneumo keys create` makes one.",
        {"WWW-Authenticate": "Bearer"},
    )


def record_refusal(
    access: Access, address: str, route: str, why: str, *, actor: str = "unknown", prefix: str = ""
) -> None:
    """In the bounds of the journal: a script that goes on for ever must not fill the database."""
    access.journal.refusal(
        "api.refused",
        same=(address, route, why, actor, prefix),
        actor=actor,
        address=address,
        route=route,
        why=why,
        **({"prefix": prefix} if prefix else {}),
    )


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def _route(request: Request) -> str:
    return route_of(request.scope)


FoundCaller = Annotated[Caller | None, Depends(find_caller)]
