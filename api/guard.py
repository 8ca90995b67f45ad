"""What surrounds every answer: limits to what is read, headers that browsers obey, and a last net under failures."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Code, Refusal, answer_refusal, problem
from audit.session import DATABASE_AWAY
from core.logs import get_logger

log = get_logger("api")

BODY_BYTES = 1024**2
_PATIENCE_SECONDS = 30.0
_SLOWEST_BYTES_PER_SECOND = 8192
"""We wait for a body as long as these two allow together: a byte now and then holds nothing open."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Addresses hold UIDs, so no other site is told ours. Ours is: with no-referrer, forms would come from origin null.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Permitted-Cross-Domain-Policies": "none",
}
_TRANSPORT = "max-age=31536000"
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware.

    ``policies`` are the Content-Security-Policies of paths with needs of their own; ``own_limits`` are the paths of
    uploads, whose routes bound what they read themselves.
    """

    def __init__(
        self, app: ASGIApp, policies: Mapping[str, str], own_limits: frozenset[str], strict_transport: bool
    ) -> None:
        self._app, self._policies, self._own_limits = app, policies, own_limits
        self._headers = _HEADERS | ({"Strict-Transport-Security": _TRANSPORT} if strict_transport else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("Cache-Control", "no-store")  # answers tell of patients
                headers["Content-Security-Policy"] = self._policy(scope["path"], headers)
            await send(message)

        body = _Body(receive, None if scope["path"] in self._own_limits else BODY_BYTES)
        try:
            body.check_announced(Headers(scope=scope))
            await self._app(scope, body.receive, send_guarded)
        except Refusal as exc:  # of the body, where no route was there to answer it
            if started:
                raise ConnectionAbortedError from None
            await _answer(exc, scope, receive, send_guarded)
        except Exception as exc:  # noqa: BLE001 - the service outlives one request, and records its failure here
            _log_failure(exc)
            if started:
                raise ConnectionAbortedError from None
            await _answer(_refusal_of(exc), scope, receive, send_guarded)

    def _policy(self, path: str, headers: Headers) -> str:
        if path in self._policies:
            return self._policies[path]
        return _PAGE if headers.get("content-type", "").startswith("text/html") else _NOTHING


def _log_failure(exc: Exception) -> None:
    # The server would log the exception with its text, which may quote a row. Class and place are enough.
    place = traceback.extract_tb(exc.__traceback__)[-1]
    log.error("request_failed", cause=type(exc).__name__, place=f"{place.filename}:{place.lineno}")


def _refusal_of(exc: Exception) -> Refusal:
    if isinstance(exc, DATABASE_AWAY):
        detail = "The database does not answer now. Nothing was changed; try again in a moment, and see /health/ready."
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, Code.UNAVAILABLE, detail, {"Retry-After": "10"})
    detail = "The service failed to answer; its log has the cause."
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, Code.INTERNAL, detail)


async def _answer(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        answer = await answer_refusal(Request(scope), refusal)
    except Exception as exc:  # noqa: BLE001 - the page that would say so fails as well: then without one
        _log_failure(exc)
        answer = problem(refusal.status_code, refusal.detail, refusal.headers, code=refusal.code)
    await answer(scope, receive, send)


class _Body:
    """The body of a request, as far as it is read, and waited for."""

    def __init__(self, receive: Receive, limit: int | None) -> None:
        self._receive, self._limit = receive, limit
        self._bytes, self._waited, self._complete = 0, 0.0, False

    def check_announced(self, headers: Headers) -> None:
        """Before a byte of it is read; raises Refusal."""
        announced = headers.get("content-length", "")
        if announced and "transfer-encoding" in headers:  # RFC 9112 6.1: what stands in front may see another end of it
            detail = "A body has a Content-Length or a Transfer-Encoding, never both."
            raise Refusal(HTTPStatus.BAD_REQUEST, Code.INVALID_REQUEST, detail, _CLOSE)
        if self._limit is not None and announced.isdecimal() and int(announced) > self._limit:
            raise _too_large(self._limit)

    async def receive(self) -> Message:
        """Raises Refusal where it is too long or too slow."""
        if self._complete:
            return await self._receive()  # until the caller hangs up
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS + self._bytes / _SLOWEST_BYTES_PER_SECOND - self._waited):
                message = await self._receive()
        except TimeoutError as exc:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT, Code.INVALID_REQUEST, "The body came too slowly.", _CLOSE
            ) from exc
        self._waited += time.monotonic() - began
        self._bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._limit is not None and self._bytes > self._limit:
            raise _too_large(self._limit)
        return message


_CLOSE = {"Connection": "close"}  # what else comes of that body is not read


def _too_large(limit: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.BODY_TOO_LARGE, f"A body here has at most {limit} bytes.", _CLOSE
    )
