"""A request's id, and its one line in the log."""

from __future__ import annotations

import time
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.logs import get_logger
from core.request_ids import REQUEST_ID, request_id_from

log = get_logger("api.access")

HEADER = "X-Request-ID"
_UNKNOWN_ROUTE = "(none)"


class RequestIds:
    """ASGI middleware, outermost: what it binds is in every line and event that the request leads to.

    A caller may bring the id, to find in our logs what it has in its own. The line holds the route's pattern; paths
    and query strings hold UIDs and patient IDs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_from(Headers(scope=scope).get(HEADER, ""))
        scope.setdefault("state", {})
        began, status = time.perf_counter(), int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(**{REQUEST_ID: request_id}):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                log.info(
                    "request_answered",
                    method=scope["method"],
                    route=route_of(scope),
                    status=status,
                    ms=round((time.perf_counter() - began) * 1000, 1),
                    caller=getattr(scope["state"].get("caller"), "name", None),
                )


def route_of(scope: Scope) -> str:
    """The pattern of the path that was asked for, without what the caller filled in."""
    return getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
