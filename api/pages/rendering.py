"""Documents to HTML, in the reader's language and theme."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from api.masking import MASKED
from api.next_page import first_page
from api.pages import languages
from api.pages.files import address_of
from api.pages.formats import Formats, offset, zone
from api.pages.words import MASKED as MASKED_WORDS
from api.pages.words import NOTICES, words_for
from api.security import Caller
from core.scopes import Scope
from core.settings import Settings

TEMPLATES = Path(__file__).parents[1] / "templates"
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "pneumo_theme"


class View:
    """What a page needs to show itself to one reader."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._settings = cast("Settings", request.app.state.settings)
        self.language = languages.language_of(request)
        chosen = request.cookies.get(THEME_COOKIE, "")
        self.theme = chosen if chosen in THEMES else THEMES[0]

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks for a part of the page and not for all of it."""
        return self._request.headers.get("hx-request") == "true"

    @property
    def _address(self) -> str:
        """Where a browser comes back to this page, with its filters and without a notice that was read."""
        asked = [(name, value) for name, value in self._request.query_params.multi_items() if name != "notice"]
        return f"{self._request.url.path}?{urlencode(asked)}" if asked else self._request.url.path

    def show(
        self, template: str, caller: Caller | None, *, status: int = HTTPStatus.OK, **context: Any
    ) -> HTMLResponse:
        """``here`` and ``address`` are those of the request, unless ``context`` knows better."""
        notice = self._request.query_params.get("notice", "")
        common = {
            "caller": caller,
            "Scope": Scope,
            "view": self,
            "intended_use": self._settings.intended_use,
            "here": self._request.url.path,
            "address": self._address,
            "notice": notice if notice in NOTICES else "",
        }
        text = environment(self.language).get_template(template).render(common | context)
        return HTMLResponse(text, status)


def _view(request: Request) -> View:
    return View(request)


ViewOfRequest = Annotated[View, Depends(_view)]


@cache
def environment(language: str) -> Environment:
    """One for each language: its texts and formats are the same for every reader of it."""
    translations = languages.translations(language)
    masked = translations.gettext(MASKED_WORDS)
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: masked if value == MASKED else value,
        extensions=["jinja2.ext.i18n", "jinja2.ext.loopcontrols"],
    )
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    formats = Formats(language)
    for name in (
        "when", "day_and_time", "day", "hour", "study_date", "ago", "seconds", "number", "percent",
        "probability", "passed", "date_of", "day_of_month",
    ):  # fmt: skip
        made.filters[name] = getattr(formats, name)
    made.filters["words"] = _words
    made.globals.update(
        asset=address_of, zone=zone, offset=offset, languages=languages.LANGUAGES, first_page=first_page
    )
    return made


@pass_context
def _words(context: Context, code: str, table: str) -> str:
    """The words for a code; the code itself, readable, where there are none."""
    found = words_for(table, code)
    if found is None:
        return str(code).replace("_", " ")
    text, rest = found
    return str(context.call(context["gettext"], text, rest=_words(context, rest, table) if rest else ""))
