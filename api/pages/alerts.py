"""``/alerts``: what calls for a person now, and what did."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.alerts import AlertQuery, Which, list_alerts
from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.state import DatabaseOfApp
from api.watch import WatchOfApp

router = APIRouter(include_in_schema=False)

_PAST = 50


@router.get("/alerts")
def alerts_page(database: DatabaseOfApp, watch: WatchOfApp, caller: PageReader, view: ViewOfRequest) -> HTMLResponse:
    found = list_alerts(database, watch, caller, AlertQuery(state=Which.OPEN, cursor=None, limit=200)).items
    latest = list_alerts(database, watch, caller, AlertQuery(state=Which.ALL, cursor=None, limit=_PAST)).items
    return view.show("alerts.html", caller, alerts=found, past=[alert for alert in latest if alert.closed_at])
