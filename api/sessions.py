"""The pages' callers: someone signed in, or someone who is sent to the sign-in and back."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.access import Access, AccessOfApp
from api.callers import Caller, FoundCaller
from api.next_page import local_path
from api.problems import Code, problem
from api.security import permitted
from core.scopes import Scope

SIGN_IN = "/sign-in"


class SignInNeeded(Exception):
    """The page is for someone known."""


def _page_caller(found: FoundCaller) -> Caller:
    if found is None:
        raise SignInNeeded
    return found


PageCaller = Annotated[Caller, Depends(_page_caller)]
"""Anybody signed in. Others are redirected to the sign-in."""


def page_requires(*scopes: Scope) -> Callable[[Access, Caller], Caller]:
    """As ``api.security.requires``, for a page: ``Annotated[Caller, Depends(page_requires(Scope.ADMIN))]``."""

    def with_scopes(access: AccessOfApp, caller: PageCaller) -> Caller:
        return permitted(access, caller, *scopes)

    with_scopes.scopes = scopes  # type: ignore[attr-defined]  # as there
    return with_scopes


def send_to_sign_in(request: Request, _exc: Exception) -> Response:
    """The handler of SignInNeeded."""
    if request.headers.get("hx-request") != "true":
        return RedirectResponse(_sign_in_then(_path_of(request)), HTTPStatus.SEE_OTHER)
    # htmx follows redirects behind our back and would put the sign-in into a corner of the page.
    page = urlsplit(request.headers.get("hx-current-url", ""))
    location = _sign_in_then(f"{page.path}?{page.query}" if page.query else page.path)
    answer = problem(HTTPStatus.UNAUTHORIZED, "The sign-in is over.", code=Code.NO_CREDENTIALS)
    answer.headers["HX-Redirect"] = location
    return answer


def keep_session(response: Response, access: Access, token: str) -> None:
    response.set_cookie(
        access.session_cookie,
        token,
        max_age=int(access.session_life.total_seconds()),
        path="/",
        secure=access.https,
        httponly=True,
        samesite="lax",  # a link in a report opens the page of someone who is signed in
    )


def forget_session(response: Response, access: Access) -> None:
    response.delete_cookie(access.session_cookie, path="/", secure=access.https, httponly=True, samesite="lax")


def _path_of(request: Request) -> str:
    if request.method != "GET":
        return "/"
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _sign_in_then(path: str) -> str:
    path = local_path(path)
    return SIGN_IN if path == "/" else f"{SIGN_IN}?next={quote(path, safe='/')}"
