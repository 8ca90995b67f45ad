"""After something was done: back to the page it was done on, which says so. A reload then repeats nothing."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi.responses import RedirectResponse

from api.next_page import local_path


def back_with(page: str, notice: str) -> RedirectResponse:
    """``notice`` is a code that ``api.pages.words`` has words for."""
    place = urlsplit(local_path(page))
    query = [(name, value) for name, value in parse_qsl(place.query) if name != "notice"]
    return RedirectResponse(f"{place.path}?{urlencode([*query, ('notice', notice)])}", HTTPStatus.SEE_OTHER)
