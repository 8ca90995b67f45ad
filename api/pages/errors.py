"""Errors as pages for browsers; programs get them as problem documents, as ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.pages.rendering import View

_Handler = Callable[[Request, Exception], Response | Awaitable[Response]]
_Answer = Callable[[Request, Exception], Awaitable[Response]]
_KEPT = ("www-authenticate", "retry-after", "allow")


def answer_browsers_with_pages(app: FastAPI) -> None:
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _for_people(cast("_Handler", app.exception_handlers[kind])))


def _for_people(answer_programs: _Handler) -> _Answer:
    async def answer(request: Request, exc: Exception) -> Response:
        problem = await _answered(answer_programs, request, exc)
        htmx = request.headers.get("hx-request") == "true"  # shows no error inside a page; pneumo.js says that one came
        if htmx or problem.status_code < HTTPStatus.BAD_REQUEST or "text/html" not in request.headers.get("accept", ""):
            return problem
        detail = exc.detail if isinstance(exc, HTTPException) else ""
        status = problem.status_code
        page = View(request).show("error.html", None, status=status, code=status, detail=detail, here="/")
        page.headers.update({name: value for name, value in problem.headers.items() if name in _KEPT})
        return page

    return answer


async def _answered(handler: _Handler, request: Request, exc: Exception) -> Response:
    if iscoroutinefunction(handler):
        return cast("Response", await handler(request, exc))
    return cast("Response", await run_in_threadpool(handler, request, exc))
