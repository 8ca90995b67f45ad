"""``/account``: who is signed in, and what that opens. The one page that needs no scope."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.pages.rendering import ViewOfRequest
from api.sessions import PageCaller

router = APIRouter(include_in_schema=False)


@router.get("/account")
def account_page(caller: PageCaller, view: ViewOfRequest) -> HTMLResponse:
    return view.show("account.html", caller)
