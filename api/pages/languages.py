"""The languages of the pages. Catalogues are text in the repository, compiled here when they are first asked for."""

from __future__ import annotations

import gettext
import io
from functools import cache
from pathlib import Path

from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""By code, each in its own words. The templates are written in the first."""
COOKIE = "pneumo_language"
CATALOGUES = Path(__file__).parents[1] / "locale"


@cache
def translations(language: str) -> gettext.NullTranslations:
    path = CATALOGUES / language / "LC_MESSAGES" / "messages.po"
    if not path.exists():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as text:
        write_mo(compiled, read_po(text, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def language_of(request: Request) -> str:
    """What was chosen on the page, else what the browser prefers."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    preferred = _preferred(request.headers.get("accept-language", ""))
    return negotiate_locale(preferred, LANGUAGES, sep="-") or next(iter(LANGUAGES))


def _preferred(header: str) -> list[str]:
    """RFC 9110 12.5.4, most wanted first; a weight that is no number counts as none."""
    wanted = []
    for part in header.split(",")[:20]:
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        if tag and quality > 0:
            wanted.append((-quality, tag))
    return [tag for _, tag in sorted(wanted, key=lambda found: found[0])]
