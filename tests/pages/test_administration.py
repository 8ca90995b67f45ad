from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from audit.models import Alert, APIKey
from tests.pages.conftest import Site, Visitor


def test_today_in_figures_that_renew_themselves(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/")
    assert page.locator("#tile-positive .figure").text_content() is not None
    expect(page.locator("#tile-waiting .figure")).not_to_have_text("0")
    expect(page.get_by_role("row", name="main-pacs")).to_contain_text("2")
    expect(page.get_by_role("row", name="Delivery")).to_contain_text("Silent")
    before = page.locator("#as-of time").get_attribute("datetime")
    page.wait_for_timeout(1100)
    page.evaluate("htmx.ajax('GET', '/', {source: '#glance', target: '#glance'})")
    expect(page.locator("#as-of time")).not_to_have_attribute("datetime", before or "")
    expect(page.locator("#summary")).to_contain_text("46 received")
    page.locator("#tile-refused").click()
    expect(page.locator("#rows tr")).to_have_count(3)


def test_what_renews_itself_takes_nothing_out_of_the_readers_hands(doctor: Visitor) -> None:
    page = doctor.goes("/")
    table = page.get_by_role("table", name="Images by the hour they came in")
    page.get_by_text("The same as a table").click()
    expect(table).to_be_visible()
    for held in (page.locator("summary"), page.locator("a[href='/alerts']").last, page.locator("td a").first):
        held.focus()
        before = page.locator("#as-of time").get_attribute("datetime") or ""
        page.wait_for_timeout(1100)
        page.evaluate("htmx.ajax('GET', '/', {source: '#glance', target: '#glance'})")
        expect(page.locator("#as-of time")).not_to_have_attribute("datetime", before)
        expect(held).to_be_focused()
        expect(table).to_be_visible()
    page.get_by_text("The same as a table").click()
    page.evaluate("htmx.ajax('GET', '/', {source: '#glance', target: '#glance'})")
    expect(table).to_be_hidden()


def test_an_alert_is_acknowledged(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/alerts")
    card = page.get_by_role("listitem").filter(has_text="Results were given up")
    card.get_by_label("Note").fill("Vendor called.")
    card.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_have_text("The alert is acknowledged.")
    expect(page.get_by_text("dr.weber took note")).to_be_visible()
    with site.database.read() as session:
        alert = session.scalars(select(Alert).where(Alert.code == "dead_letters")).one()
        assert (alert.acknowledged_by, alert.note) == ("dr.weber", "Vendor called.")


def test_a_key_is_shown_once_and_revoked(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/keys")
    page.get_by_label("Name").fill("dashboard")
    page.get_by_role("button", name="Make the key").click()
    made = page.locator("#made").text_content() or ""
    assert made.startswith("pneumo_")
    doctor.goes("/keys")
    assert made not in page.content()
    page.get_by_role("button", name="Revoke the key dashboard").click()
    expect(page.get_by_role("status")).to_have_text("The key is revoked.")
    with site.database.read() as session:
        key = session.scalars(select(APIKey).where(APIKey.name == "dashboard")).one()
        assert (key.scopes, key.revoked_at is not None) == (["audit:read"], True)


def test_a_key_that_cannot_be_made_is_refused_in_words(doctor: Visitor) -> None:
    page = doctor.goes("/keys")
    page.get_by_label("Name").fill("visitor")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert").first).to_contain_text("There is or was a key of this name.")
    doctor.complaints.clear()  # the browser says on its console that the answer was 409


def test_the_audit_trail_by_group(doctor: Visitor) -> None:
    page = doctor.goes("/audit")
    page.get_by_label("About").select_option("association.")
    page.get_by_role("button", name="Filter").click()
    rows = page.get_by_role("table", name="Events").locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Caller rejected")
    expect(page.get_by_role("link", name="NDJSON")).to_have_attribute(
        "href", "/v1/events/export?kind=association.&format=ndjson"
    )


def test_callers_that_were_turned_away(doctor: Visitor) -> None:
    page = doctor.goes("/sources")
    expect(page.get_by_role("table", name="Turned away")).to_contain_text("Unknown calling AE title")


def test_what_was_typed_for_a_key_stays_where_it_is_refused(doctor: Visitor) -> None:
    page = doctor.goes("/keys")
    page.get_by_label("Name").fill("statistics")
    page.get_by_label("Expires").select_option("")
    for scope in ("jobs:write", "admin"):
        page.get_by_role("checkbox").and_(page.locator(f"[value='{scope}']")).check()
    page.locator("[value='audit:read']").uncheck()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert").first).to_contain_text("There is or was a key of this name.")
    expect(page.get_by_label("Name")).to_have_value("statistics")
    expect(page.get_by_label("Expires")).to_have_value("")
    checked = [box.get_attribute("value") for box in page.get_by_role("checkbox", checked=True).all()]
    assert sorted(checked, key=str) == ["admin", "jobs:write"]
    doctor.complaints.clear()  # the browser says on its console that the answer was 409


@pytest.mark.parametrize("name", ["..", ".", "-x", "_"])
def test_a_name_that_is_no_word_is_refused(site: Site, name: str) -> None:
    with httpx.Client(base_url=site.address, headers={"X-API-Key": site.hospital.key}) as client:
        page = client.post("/keys", data={"name": name, "scope": "audit:read"})
        assert (page.status_code, "a letter or digit, then" in page.text) == (422, True)
        assert client.post("/v1/keys", json={"name": name}).status_code == 422
