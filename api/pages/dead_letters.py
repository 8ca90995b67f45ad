"""``/dead-letters``: what waits for a person: results that no destination took, images that could not be analysed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from api.dead_letters import list_dead_letters
from api.list_queries import DeadLetterQuery
from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.state import DatabaseOfApp

router = APIRouter(include_in_schema=False)

_PER_PAGE = 50


@router.get("/dead-letters")
def dead_letters_page(
    database: DatabaseOfApp,
    caller: PageReader,
    view: ViewOfRequest,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> HTMLResponse:
    query = DeadLetterQuery.model_validate({"cursor": cursor, "limit": _PER_PAGE, "count": True})
    return view.show("dead_letters.html", caller, letters=list_dead_letters(database, caller, query))
