"""Errors as problem documents (RFC 9457): the same four members for every answer that is not a success."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    type: str = "about:blank"  # RFC 9457 4.2.1: the title is then the phrase of the status
    title: str
    status: int
    detail: str


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> ProblemResponse:
    document = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return ProblemResponse(document.model_dump(), status, headers)


def answer_with_problems(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)


def _refused(_request: Request, exc: Exception) -> ProblemResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for this class; the hook's type is wider
    return problem(exc.status_code, exc.detail, dict(exc.headers or {}))


def _not_understood(_request: Request, exc: Exception) -> ProblemResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - likewise
    # Without the value found: it may be a patient's, and this text is what people paste into tickets.
    lines = (f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}" for error in exc.errors())
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(lines))
