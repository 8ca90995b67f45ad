"""``/sources``: who sends images, when last, and who was turned away."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.sources import SourceQuery, list_sources
from api.state import DatabaseOfApp, SettingsOfApp

router = APIRouter(include_in_schema=False)

_DAYS = 7


@router.get("/sources")
def sources_page(
    database: DatabaseOfApp, settings: SettingsOfApp, caller: PageReader, view: ViewOfRequest
) -> HTMLResponse:
    found = list_sources(database, settings, caller, SourceQuery(days=_DAYS))
    return view.show("sources.html", caller, found=found, days=_DAYS)
