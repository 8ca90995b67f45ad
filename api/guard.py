"""What surrounds every answer: headers that keep it out of caches and frames, and a last net under failures."""

from __future__ import annotations

import traceback
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem
from core.logs import get_logger

log = get_logger("api")

_HEADERS = {
    "Cache-Control": "no-store",  # answers tell of patients
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses hold UIDs and patient IDs
    "X-Frame-Options": "DENY",
}
_NOTHING_BUT_DATA = "default-src 'none'; frame-ancestors 'none'"


class Guard:
    """ASGI middleware. ``page_paths`` are those whose answers are pages that run scripts."""

    def __init__(self, app: ASGIApp, page_paths: frozenset[str]) -> None:
        self._app = app
        self._page_paths = page_paths

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
                headers.update(_HEADERS)
                if scope["path"] not in self._page_paths:
                    headers["Content-Security-Policy"] = _NOTHING_BUT_DATA
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception as exc:  # noqa: BLE001 - the service outlives one request, and records its failure here
            # The server would log the exception with its text, which may quote a row. Class and place are enough.
            place = traceback.extract_tb(exc.__traceback__)[-1]
            log.error("request_failed", cause=type(exc).__name__, place=f"{place.filename}:{place.lineno}")
            if started:
                raise ConnectionAbortedError from None
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed to answer; its log has the cause.")
            await answer(scope, receive, send_guarded)
