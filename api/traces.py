"""A span for each HTTP request, under the caller's where it sends ``traceparent``."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.request_ids import route_of
from core.request_ids import current_request_id
from core.tracing import span

_FIRST_SERVER_ERROR = 500


class Traces:
    """ASGI middleware, inside ``RequestIds``. Its spans know the route's pattern, never the path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, status = scope["method"], 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = Headers(scope=scope).get("traceparent", "")
        names = {"http__request__method": method, "pneumo__request_id": current_request_id()}
        with span(method, parent=parent, kind="server", **names) as active:
            try:
                await self._app(scope, receive, send_noting)
            finally:
                if active is not None:
                    from opentelemetry.trace import StatusCode

                    active.update_name(f"{method} {route_of(scope)}")
                    active.set_attributes({"http.route": route_of(scope), "http.response.status_code": int(status)})
                    if status >= _FIRST_SERVER_ERROR:
                        active.set_status(StatusCode.ERROR)
