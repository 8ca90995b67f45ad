"""``/docs`` and ``/redoc``: the API's description as pages, from this machine alone.

Their scripts are the copies that fastapi-offline ships. Nothing stands inline, so that the policy can forbid it.
"""

from __future__ import annotations

import importlib.util
from html import escape
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse

router = APIRouter(include_in_schema=False)

OPENAPI = "/openapi.json"
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
}
_CACHED = {"Cache-Control": "public, max-age=86400"}
# Both libraries write style elements and draw icons from data: addresses; ReDoc searches in a worker of its own making.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; child-src blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
POLICIES = {"/docs": _POLICY, "/redoc": _POLICY}
_START_SWAGGER = f"""\
SwaggerUIBundle({{
  url: "{OPENAPI}", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
}});
"""


@router.get("/docs")
def swagger() -> HTMLResponse:
    return _page(
        "Try the API",
        '<link rel="stylesheet" href="/docs/swagger-ui.css">',
        '<main id="swagger-ui"></main><script src="/docs/swagger-ui-bundle.js"></script>'
        '<script src="/docs/start.js"></script>',
    )


@router.get("/redoc")
def redoc() -> HTMLResponse:
    return _page(
        "The API",
        "",
        f'<redoc spec-url="{OPENAPI}" disable-google-font="true"></redoc>'
        '<script src="/docs/redoc.standalone.js"></script>',
    )


@router.get("/docs/start.js")
def start_swagger() -> Response:
    return Response(_START_SWAGGER, media_type="text/javascript", headers=_CACHED)


def _serve(name: str, media_type: str) -> None:
    @router.get(f"/docs/{name}", name=name)
    def file() -> FileResponse:
        return FileResponse(_folder() / name, media_type=media_type, headers=_CACHED)


def _folder() -> Path:
    found = importlib.util.find_spec("fastapi_offline")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 - a dependency of this package
    return Path(found.origin).parent / "static"


def _page(title: str, head: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">{head}</head><body>{body}</body></html>'
    )


for _name, _media_type in _FILES.items():
    _serve(_name, _media_type)
