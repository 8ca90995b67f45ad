from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.pages.conftest import Site, Visitor, visiting
from tests.pages.hospital import ACCESSION, PATIENT


def test_studies_appear_as_one_types_and_the_address_tells_nothing(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/search")
    rows = page.locator("#rows tr:not(.more)")
    expect(rows).to_have_count(25)
    field = page.get_by_label("Patient ID, accession number or UID")
    field.press_sequentially("mus")
    expect(rows).to_have_count(25)
    field.press_sequentially("ter-47")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(PATIENT)
    assert page.url == f"{site.address}/search"
    assert page.evaluate("history.length") <= 4

    field.fill("mu")
    expect(page.get_by_text("Go on typing.")).to_be_visible()
    field.fill("nobody")
    expect(page.get_by_text("No study fits.")).to_be_visible()


def test_filters_and_more(doctor: Visitor) -> None:
    page = doctor.goes("/search?outcome=not_analysed")
    rows = page.locator("#rows tr:not(.more)")
    expect(rows).to_have_count(3)
    page.get_by_label("Source").select_option("ward-cart")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Not analysed")
    page.get_by_label("Source").select_option("")
    page.get_by_label("Outcome").select_option("")
    expect(rows).to_have_count(25)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(45)
    uids = [link.get_attribute("href") for link in rows.get_by_role("link").all()]
    assert len(set(uids)) == 45


def test_search_works_without_scripts(browser: Browser, site: Site) -> None:
    with visiting(browser, site, java_script_enabled=False) as visitor:
        page = visitor.signs_in(site.hospital.key, "/search")
        page.get_by_label("Patient ID, accession number or UID").fill(ACCESSION)
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#rows")).to_contain_text(PATIENT)
        assert page.url == f"{site.address}/search"


def test_who_sees_no_patient_is_told_so_and_finds_by_uid_alone(visitor: Visitor, site: Site) -> None:
    page = visitor.signs_in(site.hospital.masked_key, "/search")
    expect(page.get_by_text("needs the scope phi:read")).to_be_visible()
    field = page.get_by_label("Study or image UID")
    field.fill(PATIENT)
    expect(page.get_by_text("No study fits.")).to_be_visible()
    field.fill(site.hospital.image)
    expect(page.locator("#rows")).to_contain_text(site.hospital.study)
    expect(page.locator("#rows")).to_contain_text("(masked)")


def test_more_goes_on_from_where_one_is(doctor: Visitor) -> None:
    page = doctor.goes("/search")
    line = page.locator("#count")
    expect(line).to_have_text("The newest 25")
    page.get_by_role("button", name="Show more").press("Enter")
    rows = page.locator("#rows tr:not(.more)")
    expect(line).to_have_text("45 studies")
    expect(rows.nth(25).get_by_role("link")).to_be_focused()


def test_more_without_scripts_says_which_studies_these_are(browser: Browser, site: Site) -> None:
    with visiting(browser, site, java_script_enabled=False) as visitor:
        page = visitor.signs_in(site.hospital.key, "/search")
        page.get_by_role("button", name="Show more").click()
        expect(page.locator("#count")).to_have_text("26 to 45, newest first")
        expect(page.locator("#rows tr")).to_have_count(20)


def test_another_theme_keeps_the_filters(doctor: Visitor, site: Site) -> None:
    page = doctor.goes("/search?days=0&outcome=positive")
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Set").click()
    page.wait_for_selector("html[data-theme=dark]")
    assert page.url == f"{site.address}/search?days=0&outcome=positive"
    expect(page.get_by_label("Outcome")).to_have_value("positive")
