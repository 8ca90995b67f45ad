"""Errors as problem documents (RFC 9457): the same members for every answer that is not a success."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from core.request_ids import current_request_id

Handler = Callable[[Request, Exception], Response | Awaitable[Response]]
_TYPE = "urn:pneumo:problem:"


class Code(StrEnum):
    """What is wrong, for machines; a value never changes once released."""

    NO_CREDENTIALS = "no_credentials"
    """Or none that are valid."""
    SCOPE_MISSING = "scope_missing"
    CSRF = "csrf"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_REQUEST = "invalid_request"
    CONFLICT = "conflict"
    """What was asked for does not fit the state that things are in."""
    BODY_TOO_LARGE = "body_too_large"
    NO_IMAGE = "no_image"
    """The upload is no JPEG, PNG or DICOM image, or cannot be decoded."""
    IMAGE_TOO_LARGE = "image_too_large"
    """More pixels than are decoded."""
    NOT_ANALYSABLE = "not_analysable"
    """The model may not judge this image."""
    ANALYSIS_FAILED = "analysis_failed"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    """The same Idempotency-Key came with another request."""
    TOO_MANY_REQUESTS = "too_many_requests"
    MODEL_BUSY = "model_busy"
    """No answer in time; the image is kept, and the same request will find its answer."""
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


_CODE_OF_STATUS = {
    HTTPStatus.UNAUTHORIZED: Code.NO_CREDENTIALS,
    HTTPStatus.FORBIDDEN: Code.SCOPE_MISSING,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    HTTPStatus.CONFLICT: Code.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.BODY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: Code.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE: Code.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: Code.INTERNAL,
}


class Problem(BaseModel):
    type: str = Field(description="`urn:pneumo:problem:` and the code.")
    title: str
    status: int
    code: Code
    detail: str = Field(description="What to do about it, for people. Holds nothing of a patient.")
    request_id: str = Field(description="Of this request, as in `X-Request-ID`: under it the log has more.")


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


class Refusal(HTTPException):
    """Raise it to answer with a problem whose code says more than its status."""

    def __init__(self, status: int, code: Code, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.code = code


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, *, code: Code | None = None
) -> ProblemResponse:
    return ProblemResponse(problem_document(status, detail, code).model_dump(), status, headers)


def problem_document(status: int, detail: str, code: Code | None = None) -> Problem:
    """The code is that of the status unless one is given."""
    code = code or _CODE_OF_STATUS.get(HTTPStatus(status), Code.INVALID_REQUEST)
    return Problem(
        type=f"{_TYPE}{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        request_id=current_request_id(),
    )


def answer_with_problems(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)


async def answered(handler: Handler, request: Request, exc: Exception) -> Response:
    if iscoroutinefunction(handler):
        return cast("Response", await handler(request, exc))
    return cast("Response", await run_in_threadpool(handler, request, exc))


async def answer_refusal(request: Request, refusal: Refusal) -> Response:
    """For what surrounds the application: the answer that its routes would give."""
    return await answered(request.app.exception_handlers[HTTPException], request, refusal)


def _refused(request: Request, exc: Exception) -> ProblemResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for this class; the hook's type is wider
    headers = dict(exc.headers or {})
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(exc.status_code, exc.detail, headers, code=exc.code if isinstance(exc, Refusal) else None)


def _methods(request: Request) -> set[str]:
    """Of all routes at this path; Starlette names those of the first one alone (RFC 9110 10.2.1 wants all)."""
    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(request.app.routes):
        path = route.path_format
        if isinstance(route.original_route, APIRoute) and path and compile_path(path)[0].match(request.url.path):
            found.setdefault(path, set()).update(route.methods or ())
    methods = found.get(request.url.path) or set().union(*found.values())
    return methods | {"HEAD"} if "GET" in methods else methods


def _not_understood(_request: Request, exc: Exception) -> ProblemResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - likewise
    # Without the value found: it may be a patient's, and this text is what people paste into tickets.
    lines = (f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}" for error in exc.errors())
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(lines))
