"""``/v1/events``: what happened, and who caused it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples
from api.list_queries import EventQuery
from api.schemas import Event, EventPage
from api.security import Reader
from api.state import DatabaseOfApp
from audit.event_listing import count_events, find_events

router = APIRouter(prefix="/v1/events", tags=["audit"])


@router.get(
    "",
    summary="List audit events",
    responses=examples.answers(examples.EVENT_PAGE, *examples.OF_A_LIST),
)
def list_events(database: DatabaseOfApp, _caller: Reader, query: Annotated[EventQuery, Query()]) -> EventPage:
    """Events hold UIDs and codes, nothing of a patient; reading them is therefore not an event itself."""
    page = query.page
    with database.read() as session:
        rows = find_events(session, query.chosen, page)
        total = count_events(session, query.chosen) if query.count else None
    shown, next_cursor = query.cut(rows, lambda row: (row.at, row.id))
    return EventPage(
        items=[Event.model_validate(row) for row in shown],
        next=next_cursor,
        total=total,
    )
