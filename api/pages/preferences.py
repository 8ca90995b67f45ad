"""``POST /preferences``: language and theme, kept in the browser alone."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse

from api.next_page import local_path
from api.pages import languages
from api.pages.rendering import THEME_COOKIE, THEMES

router = APIRouter(include_in_schema=False)

_YEAR = 365 * 86_400


@router.post("/preferences")
def set_preferences(
    request: Request,
    language: Annotated[str, Form(max_length=8)] = "",
    theme: Annotated[str, Form(max_length=8)] = "",
    back: Annotated[str, Form(max_length=4096)] = "/",
) -> RedirectResponse:
    """Needs no sign-in and changes nothing here; what is no known choice is left as it was."""
    answer = RedirectResponse(local_path(back), HTTPStatus.SEE_OTHER)
    for cookie, chosen, known in (
        (languages.COOKIE, language, languages.LANGUAGES),
        (THEME_COOKIE, theme, THEMES),
    ):
        if chosen in known:
            secure = request.url.scheme == "https"
            answer.set_cookie(cookie, chosen, max_age=_YEAR, httponly=True, secure=secure, samesite="lax")
    return answer
