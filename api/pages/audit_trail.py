"""``/audit``: what happened, who caused it, and whether anybody changed the record of it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from api.chain import show_chain
from api.events import list_events
from api.list_queries import EventQuery
from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.parameters import Word
from api.state import DatabaseOfApp

router = APIRouter(include_in_schema=False)

_PER_PAGE = 50


class EventChoice(BaseModel):
    """The form, as it comes: an empty field is none."""

    model_config = ConfigDict(frozen=True)

    kind: Word = ""
    subject: Word = ""
    actor: Word = ""
    cursor: str = Field("", max_length=64)

    def query(self) -> EventQuery:
        cursor = {"cursor": self.cursor} if self.cursor else {}
        return EventQuery.model_validate(self.filters | cursor | {"limit": _PER_PAGE})

    @property
    def filters(self) -> dict[str, str]:
        return {name: value for name, value in self.model_dump(exclude={"cursor"}).items() if value}


@router.get("/audit")
def audit_page(
    database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest, choice: Annotated[EventChoice, Query()]
) -> HTMLResponse:
    events = list_events(database, caller, choice.query())
    older = f"/audit?{urlencode(choice.filters | {'cursor': events.next})}" if events.next else ""
    return view.show(
        "audit.html", caller, chain=show_chain(database, caller), events=events.items, older=older, choice=choice,
        export=urlencode(choice.filters),
    )  # fmt: skip
