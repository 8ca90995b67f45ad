"""Whatever is put into a page's address or form, the service understands it or says that it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api import sign_in
from api.pages.site import _PAGES
from audit.session import Database
from tests.audit.rows import analysed, not_analysed, report

_ODD = ("", "abc", "zzz", "a\x00b", "\x00", "-1", "0", "99999999999999999999", "x" * 300, "x" * 5000, "äöü\u2028", "..",
        "%00", "\ud7ff\U0010ffff", "٣", "1e9", "{{ 7 }}", "' OR 1=1 --", "2026-13-45")  # fmt: skip
_SOUND = {"agreement": "agree", "scope": "audit:read", "name": "fuzz", "study_instance_uid": "1.2.3"}
"""For fields without which the others would not be looked at."""


@pytest.fixture
def books(books: Database) -> Database:
    analysed(books)
    analysed(books, not_analysed("lateral_view"))
    report(books)
    return books


def _routes() -> Iterator[APIRoute]:
    for module in (*_PAGES, sign_in):
        yield from (route for route in module.router.routes if isinstance(route, APIRoute))


def _fields(route: APIRoute) -> dict[str, list[str]]:
    """Names that the route reads, by where it reads them."""
    return {
        "path": re.findall(r"{(\w+)}", route.path),
        "params": list(_names(route.dependant, "query_params")),
        "data": list(_names(route.dependant, "body_params")),
    }


def _names(dependant: Dependant, kind: str) -> Iterator[str]:
    for field in getattr(dependant, kind):
        model = field.field_info.annotation
        is_model = isinstance(model, type) and issubclass(model, BaseModel)
        yield from model.model_fields if is_model else [field.alias]
    for each in dependant.dependencies:
        yield from _names(each, kind)


def _ask(client: httpx.Client, route: APIRoute, where: str, name: str, odd: str) -> httpx.Response:
    (method,) = route.methods - {"HEAD"}
    filled_in = {field: _SOUND.get(field, "1") for field in _fields(route)["path"]}
    given: dict[str, dict[str, str]] = {"params": {}, "data": {}}
    if method == "POST":
        given["data"] = {field: _SOUND[field] for field in _fields(route)["data"] if field in _SOUND}
    (filled_in if where == "path" else given[where])[name] = odd
    path = re.sub(r"{(\w+)}", lambda part: quote(filled_in[part[1]], safe=""), route.path)
    return client.request(method, path, params=given["params"], data=given["data"] or None)


def test_nothing_that_is_typed_breaks_a_page(client: httpx.Client) -> None:
    broken, asked = [], set()
    for route in _routes():
        fields = _fields(route)
        for where, name in ((where, name) for where, names in fields.items() for name in names):
            asked.add((route.path, name))
            for odd in _ODD:
                answer = _ask(client, route, where, name, odd)
                wrong = answer.status_code >= 500 or answer.headers.get("content-type", "").startswith(
                    "application/problem"
                )
                if wrong:
                    broken.append((route.path, name, odd[:20], answer.status_code))
    assert broken == []
    assert {("/search", "cursor"), ("/search", "q"), ("/search", "days"), ("/search", "source")} <= asked
    assert {("/predictions/{prediction_id}/feedback", name) for name in ("comment", "reader", "prediction_id")} <= asked
    assert {("/keys", "name"), ("/keys/{name}/revoke", "name"), ("/sign-in", "key"), ("/preferences", "back")} <= asked


def test_what_is_not_understood_is_said_on_a_page(client: httpx.Client) -> None:
    for method, path, form in (
        ("GET", "/search?cursor=abc", None),
        ("POST", "/search", {"cursor": "zzz"}),
        ("POST", "/search", {"days": "zzz"}),
        ("POST", "/search", {"source": "x" * 300}),
        ("POST", "/search", {"q": "a\x00b"}),
        ("POST", "/predictions/1/feedback", {"agreement": "agree", "comment": "a\x00b"}),
        ("POST", "/predictions/1/feedback", {"agreement": "agree", "reader": "a\x00b"}),
    ):
        answer = client.request(method, path, data=form)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8"), (path, form)
