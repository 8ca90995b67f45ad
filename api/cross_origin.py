"""What pages of other origins may do, where the configuration names them (CORS): ask with a key, never a cookie."""

from __future__ import annotations

from typing import TypedDict


class _CrossOrigin(TypedDict):
    allow_credentials: bool
    allow_methods: tuple[str, ...]
    allow_headers: tuple[str, ...]
    expose_headers: tuple[str, ...]
    max_age: int


CROSS_ORIGIN = _CrossOrigin(
    allow_credentials=False,
    allow_methods=("GET", "POST"),
    allow_headers=(
        "Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-ID", "traceparent",
    ),
    expose_headers=(
        "ETag", "Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed",
        "Content-Disposition", "X-Request-ID", "WWW-Authenticate",
    ),
    max_age=600,
)  # fmt: skip
