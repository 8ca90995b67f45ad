"""Entity tags (RFC 9110 8.8.3): a program that asks again for what has not changed is told so in a few bytes.

Answers stay ``no-store``: they tell of patients, and browsers on shared workstations shall keep nothing on their disks,
not even to ask about it again. The tag serves programs that have the answer anyway.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_THE_BODY = ("content-length", "content-type")
_JSON = "application/json"
_ETAG = {
    "ETag": {
        "description": "Of this answer as it is.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"5a1f6c0e9b7d4a3f8c2e1d0b9a8f7e6d"',
    }
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer that the caller has: where it is still the same, the answer is 304.",
    "required": False,
    "schema": {"type": "string"},
}


class ETags:
    """ASGI middleware for JSON answers to GET, which are small; streams go by untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_json(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers = MutableHeaders(scope=start)
            headers["ETag"] = tag
            if _is_known(Headers(scope=scope).getlist("if-none-match"), tag):
                start["status"] = HTTPStatus.NOT_MODIFIED.value
                for name in _OF_THE_BODY:
                    del headers[name]
                body.clear()
            await send(start)
            await send({"type": "http.response.body", "body": bytes(body)})

        await self._app(scope, receive, send_tagged)


def describe_etags(operation: dict[str, Any]) -> None:
    """Into the OpenAPI document, of a GET."""
    answers = operation["responses"]
    if _JSON not in answers["200"].get("content", {}):
        return
    operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
    answers["200"]["headers"] = answers["200"].get("headers", {}) | _ETAG
    answers["304"] = {"description": "Nothing has changed since the answer with this tag.", "headers": _ETAG}


def _is_json(start: Message) -> bool:
    return bool(start["status"] == HTTPStatus.OK and Headers(scope=start).get("content-type") == _JSON)


def _is_known(given: list[str], tag: str) -> bool:
    """RFC 9110 13.1.2: compared weakly; a star matches whatever there is."""
    tags = [each.strip().removeprefix("W/") for line in given for each in line.split(",")]
    return tag in tags or "*" in tags
