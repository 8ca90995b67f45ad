"""``/static``: style sheet and scripts, all from this machine. Their addresses change with their content."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from fastapi import Path as PathParameter

_OURS = Path(__file__).parents[1] / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
router = APIRouter(prefix="/static", include_in_schema=False)


def _htmx() -> Path:
    """Of the package that brings it; importing that would import Django."""
    found = find_spec("django_htmx")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package django-htmx is not installed; it brings htmx for the pages")
    return Path(found.origin).parent / "static" / "django_htmx" / "htmx-2.min.js"


@cache
def _contents() -> dict[str, tuple[bytes, str]]:
    """By name; with the type."""
    paths = {path.name: path for path in _OURS.iterdir() if path.suffix in _TYPES} | {"htmx.js": _htmx()}
    return {name: (path.read_bytes(), _TYPES[path.suffix]) for name, path in paths.items()}


@cache
def address_of(name: str) -> str:
    content, _ = _contents()[name]
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"


@router.get("/{name}")
def show_file(name: Annotated[str, PathParameter(max_length=64)]) -> Response:
    found = _contents().get(name)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": "public, max-age=31536000, immutable"})
