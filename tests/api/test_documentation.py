from __future__ import annotations

import json

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.api.conftest import StartAPI
from tests.services import require_program


@pytest.fixture(scope="module", params=["sqlite"])
def database_url(database_url: str) -> str:
    return database_url


def test_the_pages_show_the_api_from_this_machine_alone(start_api: StartAPI) -> None:
    client = start_api()
    home = str(client.base_url).rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_program("chromium"), args=["--no-sandbox"])
        for path, shown in (("/docs", "#operations-tag-keys"), ("/redoc", "h2:has-text('Make a key')")):
            page = browser.new_page()
            answered: list[str] = []
            complaints: list[str] = []
            page.on("response", lambda response, found=answered: found.append(response.url))
            page.on("console", lambda said, found=complaints: found.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error, found=complaints: found.append(str(error)))
            page.goto(home + path)
            page.locator(shown).first.wait_for(timeout=60_000)
            page.wait_for_timeout(500)
            # ReDoc wants its maker's logo from the network, which the policy forbids.
            assert [said for said in complaints if "cdn.redoc.ly/redoc/logo-mini.svg" not in said] == [], path
            assert [url for url in answered if not url.startswith((home, "data:", "blob:"))] == [], path
            page.close()
        browser.close()


def test_the_document_names_schemes_scopes_and_problems(start_api: StartAPI) -> None:
    document = start_api().get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"Bearer", "X-API-Key"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            answers = operation["responses"]
            assert "500" in answers, where
            if "security" in operation:
                assert {"401", "403"} <= answers.keys(), where
            if "requestBody" in operation:
                assert {"413", "408"} <= answers.keys(), where
            for status in ("401", "403", "413", "500"):
                if status in answers:
                    assert "application/problem+json" in answers[status]["content"], where
    patients = document["paths"]["/v1/patients"]["get"]
    assert {"Bearer": ["audit:read", "phi:read"]} in patients["security"]
    assert "`phi:read`" in patients["description"]
    assert "security" not in document["paths"]["/health/live"]["get"]


def test_no_reference_of_the_document_leads_nowhere(start_api: StartAPI) -> None:
    text = start_api().get("/openapi.json").text
    document = json.loads(text)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"], name


def test_its_scripts_may_be_cached_and_nothing_else(start_api: StartAPI) -> None:
    client: httpx.Client = start_api()
    for path in ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/redoc.standalone.js", "/docs/start.js"):
        assert client.get(path).headers["Cache-Control"] == "public, max-age=86400"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).headers["Cache-Control"] == "no-store"
