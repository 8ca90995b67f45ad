"""``GET /sign-in``: the form. What it sends goes to ``api.sign_in``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from api.access import AccessOfApp
from api.next_page import local_path
from api.pages.rendering import ViewOfRequest
from api.pages.words import SIGN_IN_ERRORS

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def sign_in_page(
    view: ViewOfRequest,
    access: AccessOfApp,
    next: Annotated[str, Query(max_length=2048)] = "/",  # noqa: A002 - the name that api.sessions gives it
    error: Annotated[str, Query(max_length=32)] = "",
) -> HTMLResponse:
    known = error if error in SIGN_IN_ERRORS else ""
    return view.show("sign_in.html", None, next=local_path(next), error=known, oidc=access.code_flow is not None)
