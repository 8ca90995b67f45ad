"""``/v1/dead-letters``: what no destination took, and what could not be analysed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, list_examples
from api.delivery_documents import DeadLetter, DeadLetterPage
from api.list_queries import DeadLetterQuery
from api.security import Reader
from api.state import DatabaseOfApp
from audit.dead_letters import count_dead_letters, find_dead_letters

router = APIRouter(prefix="/v1/dead-letters", tags=["audit"])


@router.get(
    "",
    summary="List dead deliveries and failed analyses",
    responses=examples.answers(list_examples.DEAD_LETTER_PAGE, *examples.OF_A_LIST),
)
def list_dead_letters(
    database: DatabaseOfApp, _caller: Reader, query: Annotated[DeadLetterQuery, Query()]
) -> DeadLetterPage:
    """They stay until a person requeues or retries them. What a recall or an erasure ended is not among them."""
    page = query.page
    with database.read() as session:
        rows = find_dead_letters(session, query.kind, page)
        total = count_dead_letters(session, query.kind) if query.count else None
    shown, next_cursor = query.cut(rows, lambda row: (row.at, row.key))
    return DeadLetterPage(
        items=[DeadLetter.of(row) for row in shown],
        next=next_cursor,
        total=total,
    )
