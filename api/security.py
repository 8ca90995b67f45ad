"""What callers may do. Every route that tells or changes anything names the scopes it needs."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends

from api.access import Access, AccessOfApp
from api.callers import Caller as Caller  # noqa: PLC0414 - its type stands beside the dependencies below
from api.callers import FoundCaller, no_credentials, record_refusal
from api.problems import Code, Refusal
from audit.events import record_event
from audit.session import Database
from core.scopes import Scope


def _caller(found: FoundCaller) -> Caller:
    if found is None:
        raise no_credentials()
    return found


Authenticated = Annotated[Caller, Depends(_caller)]
"""Anybody known, whatever they may do."""


def requires(*scopes: Scope) -> Callable[[Access, Caller], Caller]:
    """A dependency: the caller, who has all these scopes."""

    def with_scopes(access: AccessOfApp, caller: Authenticated) -> Caller:
        return permitted(access, caller, *scopes)

    with_scopes.scopes = scopes  # type: ignore[attr-defined]  # for the OpenAPI document
    return with_scopes


def permitted(access: Access, caller: Caller, *scopes: Scope) -> Caller:
    """The caller; raises Refusal where one of the scopes is missing."""
    if missing := [scope for scope in scopes if scope not in caller.scopes]:
        record_refusal(access, caller.address, caller.route, f"{Code.SCOPE_MISSING} {missing[0]}", actor=caller.name)
        raise Refusal(HTTPStatus.FORBIDDEN, Code.SCOPE_MISSING, f"This needs the scope {', '.join(missing)}.")
    return caller


Reader = Annotated[Caller, Depends(requires(Scope.AUDIT_READ))]
Predictor = Annotated[Caller, Depends(requires(Scope.PREDICT))]
FeedbackWriter = Annotated[Caller, Depends(requires(Scope.FEEDBACK_WRITE))]
Operator = Annotated[Caller, Depends(requires(Scope.JOBS_WRITE))]
Administrator = Annotated[Caller, Depends(requires(Scope.ADMIN))]


def record_read(database: Database, caller: Caller, *, subject: str = "", **data: object) -> None:
    """Call before answering with anything about a patient: what cannot be recorded is not shown.

    A caller who sees masked patients reads nothing about any, and leaves no event. ``data`` must hold no attribute of
    a patient.
    """
    if not caller.may(Scope.PHI_READ):
        return
    with database.write() as session:
        record_event(
            session,
            "api.read",
            subject=subject,
            actor=caller.name,
            route=caller.route,
            address=caller.address,
            **data,
        )
