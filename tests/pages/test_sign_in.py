from __future__ import annotations

from playwright.sync_api import expect

from tests.pages.conftest import Site, Visitor


def test_whoever_is_not_signed_in_is_sent_there_and_comes_back(visitor: Visitor, site: Site) -> None:
    page = visitor.goes(f"/studies/{site.hospital.study}")
    assert page.url.startswith(f"{site.address}/sign-in?next=")
    page.get_by_label("Key").fill("pneumo_00000000_" + "x" * 43)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_contain_text("not valid")
    page.get_by_label("Key").fill(site.hospital.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.address}/studies/{site.hospital.study}")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.address}/sign-in")
    visitor.goes("/")
    assert "/sign-in" in page.url


def test_another_session_s_form_is_refused_in_words(doctor: Visitor) -> None:
    page = doctor.goes("/alerts")
    page.evaluate("document.querySelectorAll('[name=csrf_token]').forEach((field) => { field.value = 'forged'; })")
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this")
    doctor.complaints.clear()  # the browser says on its console that the answer was 403


def test_a_page_without_its_scope_says_which_one_it_needs(visitor: Visitor, site: Site) -> None:
    page = visitor.signs_in(site.hospital.reader_key)
    expect(page.get_by_role("link", name="Keys")).to_have_count(0)
    visitor.goes("/keys")
    expect(page.locator("main")).to_contain_text("admin")
    visitor.complaints.clear()
