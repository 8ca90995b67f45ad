"""Who is asking. Every route that tells anything about images takes a ``Caller``, and so needs a key."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.state import DatabaseOfApp
from audit.api_keys import name_of_key
from audit.events import record_event
from audit.session import Database
from core.logs import get_logger

log = get_logger("api")

_BEARER = HTTPBearer(auto_error=False, description="`Authorization: Bearer pneumo_...`, from `pneumo keys create`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key where that is easier to send.")


@dataclass(frozen=True, slots=True)
class Caller:
    """A request with a valid key."""

    key_name: str
    address: str
    route: str
    """The path's pattern, without what the caller filled in."""


def _caller(
    request: Request,
    database: DatabaseOfApp,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    header: Annotated[str | None, Depends(_HEADER)],
) -> Caller:
    address = request.client.host if request.client else ""
    presented = bearer.credentials if bearer else header
    with database.read() as session:
        name = name_of_key(session, presented) if presented else None
    if name is None:
        if presented:
            log.warning("api_key_refused", address=address)
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "Give a valid API key as `Authorization: Bearer ...` or `X-API-Key: ...`; `pneumo keys create` makes one.",
            {"WWW-Authenticate": "Bearer"},
        )
    return Caller(name, address, request.scope["route"].path)


Authenticated = Annotated[Caller, Depends(_caller)]


def record_read(database: Database, caller: Caller, *, subject: str = "", **data: object) -> None:
    """Call before answering with anything about a patient: what cannot be recorded is not shown.

    ``data`` must hold no attribute of a patient.
    """
    with database.write() as session:
        record_event(
            session,
            "api.read",
            subject=subject,
            actor=caller.key_name,
            route=caller.route,
            address=caller.address,
            **data,
        )
