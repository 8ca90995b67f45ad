"""Signing in to the pages, with a key or by OpenID Connect, and out again. The form itself is a page: ``api.pages``.

A sign-in that fails goes back to ``/sign-in?error=``: ``refused`` (no valid key), ``too_many``, ``no_scopes``,
``elsewhere`` (the form was another site's), ``issuer_away``, ``issuer_refused``, ``stale`` (took too long, or was begun
in another browser).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from api.access import Access, AccessOfApp
from api.callers import FoundCaller, address_of
from api.forgery import from_elsewhere
from api.issuer import IssuerAway
from api.next_page import local_path, page_after_sign_in
from api.oidc import TokenRefused
from api.oidc_sign_in import CodeFlow, FlowFailed, PendingSignIn
from api.problems import Code, Refusal
from api.sessions import SIGN_IN, forget_session, keep_session
from api.state import DatabaseOfApp
from audit.api_keys import KeyFault, look_up, note_use, prefix_of
from audit.browser_sessions import end_session, session_of, start_session
from audit.session import Database
from core.scopes import Scope

router = APIRouter(include_in_schema=False)
_Next = Annotated[str, Form(alias="next", max_length=2048)]


@router.post("/sign-in")
def sign_in(
    request: Request,
    database: DatabaseOfApp,
    access: AccessOfApp,
    key: Annotated[str, Form(max_length=256)] = "",
    then: _Next = "/",
) -> Response:
    """Signed in, a browser has another cookie than before: one that somebody planted is worth nothing."""
    address, presented = address_of(request), key.strip()
    prefix = prefix_of(presented)
    if from_elsewhere(request, {access.public_origin}):
        return _failed(access, address, then, "elsewhere")
    if access.attempts.too_many(address, prefix):
        return _failed(access, address, then, "too_many", prefix=prefix)
    with database.read() as session:
        found = look_up(session, presented)
    if isinstance(found, KeyFault):
        access.attempts.failed(address, prefix)
        return _failed(access, address, then, "refused", fault=f"key_{found}", prefix=prefix)
    _end_former(request, database, access, address)
    with database.write() as session:
        note_use(session, found)
        scopes = [Scope(scope) for scope in found.scopes]
        token = start_session(session, found.name, scopes, access.session_life, address=address, key=found)
    return _signed_in(access, token, page_after_sign_in(then, scopes))


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseOfApp, access: AccessOfApp, caller: FoundCaller) -> Response:
    if caller is not None and caller.session_id is not None:
        with database.write() as session:
            end_session(session, caller.session_id, address=address_of(request))
    answer = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    forget_session(answer, access)
    return answer


@router.get("/sign-in/oidc")
def sign_in_by_oidc(request: Request, access: AccessOfApp, then: Annotated[str, Query(alias="next")] = "/") -> Response:
    """To the issuer's form; it sends the browser back to the callback."""
    if access.code_flow is None:
        raise Refusal(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, "OpenID Connect is not configured here.")
    pending = PendingSignIn.new(local_path(then))
    try:
        location = access.code_flow.form_of(pending)
    except IssuerAway:
        return _failed(access, address_of(request), then, "issuer_away")
    answer = RedirectResponse(location, HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        access.flow_cookie, pending.to_cookie(), max_age=600, path="/", secure=access.https, httponly=True,
        samesite="lax",  # the issuer sends the browser back with a link
    )  # fmt: skip
    return answer


class _IssuerAnswer(BaseModel):
    """RFC 6749 4.1.2 and RFC 9207. Issuers add more, which is left aside."""

    code: str = ""
    state: str = ""
    iss: str = ""


@router.get("/sign-in/oidc/callback")
def come_back_from_issuer(
    request: Request, database: DatabaseOfApp, access: AccessOfApp, said: Annotated[_IssuerAnswer, Query()]
) -> Response:
    if access.code_flow is None:
        raise Refusal(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, "OpenID Connect is not configured here.")
    answer = _from_issuer(request, database, access, access.code_flow, said)
    answer.delete_cookie(access.flow_cookie, path="/", secure=access.https, httponly=True, samesite="lax")
    return answer


def _from_issuer(request: Request, database: Database, access: Access, flow: CodeFlow, said: _IssuerAnswer) -> Response:
    address = address_of(request)
    pending = PendingSignIn.from_cookie(request.cookies.get(access.flow_cookie, ""))
    if pending is None or not pending.is_answered_by(said.state):
        return _failed(access, address, "/", "stale")
    if not said.code:
        return _failed(access, address, pending.next, "issuer_refused", fault="no_code")
    try:
        identity = flow.identity(pending, said.code, said.iss)
    except IssuerAway:
        return _failed(access, address, pending.next, "issuer_away")
    except (FlowFailed, TokenRefused) as exc:
        return _failed(access, address, pending.next, "issuer_refused", fault=exc.code)
    if not identity.scopes:
        return _failed(access, address, pending.next, "no_scopes", actor=identity.name)
    _end_former(request, database, access, address)
    with database.write() as session:
        token = start_session(session, identity.name, identity.scopes, access.session_life, address=address)
    return _signed_in(access, token, page_after_sign_in(pending.next, identity.scopes))


def _signed_in(access: Access, token: str, page: str) -> Response:
    answer = RedirectResponse(page, HTTPStatus.SEE_OTHER)
    keep_session(answer, access, token)
    return answer


def _end_former(request: Request, database: Database, access: Access, address: str) -> None:
    """Who signs in again leaves no session behind."""
    former = request.cookies.get(access.session_cookie)
    if not former:
        return
    with database.write() as session:
        row = session_of(session, former)
        if row is not None:
            end_session(session, row.id, address=address, why="signed_in_again")


def _failed(
    access: Access, address: str, then: str, error: str, *, fault: str = "", prefix: str = "", actor: str = "unknown"
) -> Response:
    why = fault or error
    access.journal.refusal(
        "session.refused", same=(address, why, prefix, actor), actor=actor, address=address, why=why, prefix=prefix
    )
    query = {"error": error} | ({"next": local_path(then)} if local_path(then) != "/" else {})
    return RedirectResponse(f"{SIGN_IN}?{urlencode(query)}", HTTPStatus.SEE_OTHER)
