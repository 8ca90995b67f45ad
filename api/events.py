"""``/v1/events``: what happened, and who caused it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from api import examples
from api.cursors import encode_cursor
from api.parameters import EventQuery
from api.schemas import Event, EventPage
from api.security import Authenticated
from api.state import DatabaseOfApp
from audit.queries import find_events

router = APIRouter(prefix="/v1/events", tags=["audit"])


@router.get(
    "",
    summary="List audit events, newest first",
    responses=examples.answers(examples.EVENT_PAGE, HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY),
)
def list_events(database: DatabaseOfApp, _caller: Authenticated, query: Annotated[EventQuery, Query()]) -> EventPage:
    """Events hold UIDs and codes, nothing of a patient; reading them is therefore not an event itself."""
    with database.read() as session:
        rows = find_events(
            session,
            kind=query.kind,
            subject=query.subject,
            since=query.since,
            limit=query.limit + 1,
            before_id=query.after[1] if query.after else None,
        )
    shown = rows[: query.limit]
    return EventPage(
        items=[Event.model_validate(row) for row in shown],
        next=encode_cursor(shown[-1].at, shown[-1].id) if len(rows) > len(shown) else None,
    )
