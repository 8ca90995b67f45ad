"""axe finds nothing serious on any page, in either theme and on a phone; everything is within reach of the keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.pages.addresses import addresses
from tests.pages.conftest import Site, Visitor, visiting

_PHONE = {"width": 390, "height": 844}
_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}


@pytest.mark.parametrize(
    "how",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"color_scheme": "dark", "viewport": _PHONE, "has_touch": True, "locale": "de-DE"},
    ],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(browser: Browser, site: Site, how: dict[str, Any]) -> None:
    axe, found = Axe(), {}
    with visiting(browser, site, **how) as visitor:
        page = visitor.goes("/sign-in")
        found["/sign-in"] = _violations(axe, page)
        page.locator("#key").fill(site.hospital.key)
        page.locator("main button").click()
        page.wait_for_url(f"{site.address}/")
        for address in addresses(site.hospital):
            visitor.goes(address)
            found[address] = _violations(axe, page)
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            assert not wide, f"{address} scrolls sideways"
    assert {address: violations for address, violations in found.items() if violations} == {}


def _violations(axe: Axe, page: Page) -> list[tuple[str, str]]:
    result = axe.run(page, options=_OPTIONS).response
    return [
        (violation["id"], node["html"])
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"][:3]
    ]


def test_everything_is_within_reach_of_the_keyboard(doctor: Visitor) -> None:
    page = doctor.goes("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")

    doctor.goes("/search")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("muster-4711")
    page.keyboard.press("Enter")
    link = page.locator("#rows a")
    expect(link).to_have_count(1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if link.evaluate("(link) => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Study")


def test_the_theme_is_kept_in_a_cookie(doctor: Visitor) -> None:
    page = doctor.goes("/models")
    ground = "getComputedStyle(document.body.parentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Set").click()
    page.wait_for_selector("html[data-theme=dark]")
    assert page.url.endswith("/models")
    assert page.evaluate(ground) != light
