"""What browsers and programs get: errors, headers, files."""

from __future__ import annotations

import re

import httpx
import pytest

from api.pages.rendering import TEMPLATES
from tests.pages.addresses import addresses
from tests.pages.conftest import Site

_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_errors_are_pages_for_browsers_and_problems_for_programs(site: Site) -> None:
    page = httpx.get(f"{site.address}/nowhere", headers=_BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    problem = httpx.get(f"{site.address}/nowhere")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["code"] == "not_found"

    known = {"X-API-Key": site.hospital.key}
    unknown_study = httpx.get(f"{site.address}/studies/1.2.3", headers=_BROWSER | known)
    assert unknown_study.status_code == 404
    assert "No image of study 1.2.3" in unknown_study.text
    wrong = httpx.get(f"{site.address}/studies/MUSTER-4711", headers=_BROWSER | known)
    assert (wrong.status_code, "MUSTER" in wrong.text) == (422, False)


def test_pages_run_nothing_but_our_own_files(site: Site) -> None:
    with httpx.Client(base_url=site.address, headers={"X-API-Key": site.hospital.key}, timeout=30) as client:
        for address in addresses(site.hospital):
            answer = client.get(address)
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! src=\"/static/)", answer.text), address
            assert not re.search(r"(src|href|action)=\"(https?:)?//", answer.text), address


def test_templates_hold_no_style_or_script_of_their_own() -> None:
    for template in TEMPLATES.glob("*.html"):
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! src=)|hx-on|hx-vals='js", template.read_text())


def test_files_may_be_kept_and_change_their_address_with_their_content(site: Site) -> None:
    page = httpx.get(f"{site.address}/sign-in")
    files = re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", page.text)
    assert {file.split("?")[0] for file in files} == {
        "/static/mark.svg",
        "/static/pneumo.css",
        "/static/htmx.js",
        "/static/pneumo.js",
    }
    for file in files:
        answer = httpx.get(f"{site.address}{file}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert httpx.get(f"{site.address}/static/..%2fapp.py").status_code == 404


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_preferences_lead_back_to_our_own_pages_alone(site: Site, back: str) -> None:
    answer = httpx.post(f"{site.address}/preferences", data={"theme": "dark", "language": "xx", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookies = answer.headers.get_list("set-cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == ["pneumo_theme"]
