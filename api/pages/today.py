"""``GET /``: today at a glance."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.pages import charts
from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.state import DatabaseOfApp
from api.today import show_today
from api.watch import WatchOfApp

router = APIRouter(include_in_schema=False)


@router.get("/")
def today_page(database: DatabaseOfApp, watch: WatchOfApp, caller: PageReader, view: ViewOfRequest) -> HTMLResponse:
    """Whole, or for htmx only what changes."""
    figures = show_today(database, watch, caller)
    template = "today_figures.html" if view.is_fragment else "today.html"
    return view.show(template, caller, figures=figures, bars=charts.bars_of_day(figures.since, figures.hours))
