"""Requests that a browser makes in somebody's name without their wish (cross-site request forgery).

Only what a browser adds by itself can be abused that way: a cookie, and on loopback the mere reach. Whoever sends a key
or a token in a header has it and means it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 9.2.1
FIELD, HEADER = "csrf_token", "X-CSRF-Token"
_FORM = "application/x-www-form-urlencoded"


async def _given(request: Request) -> str:
    """The session's token as the request gives it. Uploads send the header: a form of files is not read here."""
    if request.method in SAFE_METHODS or not request.headers.get("cookie"):
        return ""
    if (header := request.headers.get(HEADER)) is not None:
        return header
    if not request.headers.get("content-type", "").startswith(_FORM):
        return ""
    value = (await request.form()).get(FIELD)
    return value if isinstance(value, str) else ""


GivenToken = Annotated[str, Depends(_given)]


def is_token(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def from_elsewhere(request: Request, friends: Collection[str]) -> bool:
    """A page of another origin made the browser send this; ``friends`` are origins that may."""
    origin = request.headers.get("origin")
    if origin is not None and origin in friends:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}  # "none": typed in, or from a bookmark
    # Older browsers. No Origin at all: not a browser, or not a request that a page can make with a method of this kind.
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
