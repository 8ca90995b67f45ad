"""``/search``: studies by what stands on the paper in somebody's hand.

What is typed travels in the body of a POST: it may be a patient's, and addresses end up in histories and logs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from api.pages.callers import PageReader
from api.pages.rendering import View, ViewOfRequest
from api.parameters import Word
from api.search import Became, SearchQuery, find_studies_by_words
from api.security import Caller
from api.state import DatabaseOfApp
from api.today import midnight
from audit.search import known_sources
from audit.session import Database
from core.records import DeliveryState

router = APIRouter(include_in_schema=False)

SHORTEST = 3
"""Characters; fewer would list half the hospital."""
_PER_PAGE = 25
_DAYS = (0, 1, 7, 30)


class Choice(BaseModel):
    """The form, as it comes: an empty field is none."""

    model_config = ConfigDict(frozen=True)

    outcome: str = Field("", max_length=16)
    source: Word = ""
    days: str = Field("", pattern=r"^[0-9]{0,3}$")
    """Whole days before today; 0 is today alone."""
    delivery: str = Field("", max_length=16)
    cursor: str = Field("", max_length=64)
    shown: int = Field(0, ge=0, le=10**6)
    """Studies on the pages before."""

    def query(self, words: str) -> SearchQuery:
        return SearchQuery(
            q=words,
            outcome=Became(self.outcome) if self.outcome in set(Became) else None,
            source=self.source or None,
            received_from=midnight() - timedelta(days=int(self.days)) if self.days else None,
            delivery=DeliveryState(self.delivery) if self.delivery in set(DeliveryState) else None,
            cursor=self.cursor or None,
            limit=_PER_PAGE,
        )


class WordsAndChoice(Choice):
    q: Annotated[Word, Field(max_length=64)] = ""


@router.get("/search")
def search_page(
    database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest, choice: Annotated[Choice, Query()]
) -> HTMLResponse:
    """Filters may stand in the address, which can be kept and sent around; words may not."""
    return _show(database, caller, view, choice, "")


@router.post("/search")
def search_for_words(
    database: DatabaseOfApp,
    caller: PageReader,
    view: ViewOfRequest,
    form: Annotated[WordsAndChoice, Form()],
) -> HTMLResponse:
    return _show(database, caller, view, form, form.q.strip())


def _show(database: Database, caller: Caller, view: View, choice: Choice, words: str) -> HTMLResponse:
    too_short = 0 < len(words) < SHORTEST
    found = None if too_short else find_studies_by_words(database, caller, choice.query(words))
    context: dict[str, Any] = {"found": found, "choice": choice, "words": words, "shortest": SHORTEST}
    if view.is_fragment:
        return view.show("search_more.html" if choice.cursor else "search_found.html", caller, **context)
    with database.read() as session:
        sources = known_sources(session)
    return view.show(
        "search.html", caller, **context,
        outcomes=list(Became), deliveries=list(DeliveryState), days=_DAYS, sources=sources,
    )  # fmt: skip
