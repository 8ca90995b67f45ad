"""The id of the HTTP request that is being answered: it stands in its log lines, its events and its problem document.

It travels in structlog's context, which threads of the API inherit; a worker binds the one of the job it is at.
"""

from __future__ import annotations

import re
import uuid

import structlog

REQUEST_ID = "request_id"
"""Its name in log lines, events and problem documents."""
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_from(presented: str) -> str:
    """The caller's own, where it can be a name in logs and headers, else a new one."""
    return presented if _WELL_FORMED.fullmatch(presented) else uuid.uuid4().hex


def current_request_id() -> str:
    """Empty outside a request."""
    bound: str = structlog.contextvars.get_contextvars().get(REQUEST_ID, "")
    return bound
