from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from audit.api_keys import create_key
from audit.session import Database
from core.scopes import Scope
from core.settings import Settings
from tests.api.conftest import serving
from tests.audit.databases import emptied, migrated
from tests.pages.hospital import Hospital, open_hospital
from tests.services import free_port, require_program


@dataclass(frozen=True)
class Site:
    """The running service on PostgreSQL, with a day of a hospital in its books."""

    address: str
    hospital: Hospital
    database: Database


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pages")
    port = free_port()
    settings = Settings(home=folder, api={"port": port}, listener={"disk_reserve_bytes": 0})  # type: ignore[arg-type]
    with migrated("postgresql", folder) as url, emptied(url, folder) as database:
        hospital = open_hospital(database, settings.spool)
        with serving(settings, database):
            yield Site(f"http://127.0.0.1:{port}", hospital, database)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Database]:
    """On PostgreSQL, empty, for a test that needs books of its own."""
    with migrated("postgresql", tmp_path) as url, emptied(url, tmp_path) as database:
        yield database


@pytest.fixture
def client(books: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    """What a browser sends, by the key ``tester`` with every scope, to a service on these books."""
    port = free_port()
    settings = Settings(home=tmp_path, api={"port": port}, listener={"disk_reserve_bytes": 0})  # type: ignore[arg-type]
    with books.write() as session:
        key = create_key(session, "tester", "cli:test", list(Scope))
    headers = {"X-API-Key": key, "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    with (
        serving(settings, books),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = require_program("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


class Visitor:
    """Someone at a browser. What the page complains about, and any request that leaves the host, fails the test."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context, self.address = context, address
        self.complaints: list[str] = []
        self.strays: list[str] = []
        self.page = self.open()

    def open(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._watch(request.url))
        return page

    def goes(self, path: str) -> Page:
        self.page.goto(f"{self.address}{path}")
        return self.page

    def signs_in(self, key: str, then: str = "/") -> Page:
        self.goes(then)
        self.page.get_by_label("Key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.address}{then}")
        return self.page

    def _note(self, kind: str, text: str) -> None:
        abandoned = text.startswith(("htmx:sendAbort", "htmx:afterRequest"))  # a search that a newer one replaced
        if kind in ("error", "warning") and not abandoned:
            self.complaints.append(text)

    def _watch(self, url: str) -> None:
        if not url.startswith(self.address):
            self.strays.append(url)


@contextmanager
def visiting(browser: Browser, site: Site, **how: Any) -> Iterator[Visitor]:
    context = browser.new_context(**{"locale": "en-GB", **how})
    visitor = Visitor(context, site.address)
    try:
        yield visitor
    finally:
        context.close()
    assert visitor.complaints == []
    assert visitor.strays == []


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    with visiting(browser, site) as somebody:
        yield somebody


@pytest.fixture
def doctor(visitor: Visitor, site: Site) -> Visitor:
    """Signed in with every scope."""
    visitor.signs_in(site.hospital.key)
    return visitor
