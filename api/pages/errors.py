"""Errors as pages for browsers; programs get them as problem documents, as ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.callers import Caller, caller_at_browser
from api.pages.rendering import View
from api.problems import Handler, answered

_Answer = Callable[[Request, Exception], Awaitable[Response]]
_KEPT = ("www-authenticate", "retry-after", "allow", "connection")


def answer_browsers_with_pages(app: FastAPI) -> None:
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _for_people(cast("Handler", app.exception_handlers[kind])))


def _for_people(answer_programs: Handler) -> _Answer:
    async def answer(request: Request, exc: Exception) -> Response:
        problem = await answered(answer_programs, request, exc)
        htmx = request.headers.get("hx-request") == "true"  # shows no error inside a page; pneumo.js says that one came
        if htmx or problem.status_code < HTTPStatus.BAD_REQUEST or "text/html" not in request.headers.get("accept", ""):
            return problem
        detail = exc.detail if isinstance(exc, HTTPException) else ""
        status = problem.status_code
        caller = await _reader_of(request, status)
        # What was asked for stays out of the page: it may be a patient's, typed into the address.
        page = View(request).show(
            "error.html", caller, status=status, code=status, detail=detail, here="", address="/"
        )  # fmt: skip
        page.headers.update({name: value for name, value in problem.headers.items() if name in _KEPT})
        return page

    return answer


async def _reader_of(request: Request, status: int) -> Caller | None:
    """Whose navigation the page shows. What failed is not asked again: it may be the database."""
    known = cast("Caller | None", getattr(request.state, "caller", None))
    if known is not None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return known
    return await run_in_threadpool(caller_at_browser, request)
