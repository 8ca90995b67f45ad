"""After something was done: back to the page it was done on, which says so. A reload then repeats nothing."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi.responses import RedirectResponse

from api.next_page import local_path


def back_with(page: str, notice: str) -> RedirectResponse:
    """``notice`` is a code that ``api.pages.words`` has words for."""
    path = urlsplit(local_path(page)).path
    return RedirectResponse(f"{path}?notice={notice}", HTTPStatus.SEE_OTHER)
