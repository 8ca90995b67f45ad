from __future__ import annotations

import pytest
from playwright.sync_api import expect

from audit.api_keys import create_key
from core.scopes import Scope
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


@pytest.mark.parametrize(
    ("scope", "landing", "links"),
    [
        (Scope.ADMIN, "/keys", ["Keys"]),
        (Scope.PREDICT, "/account", []),
        (Scope.JOBS_WRITE, "/account", []),
    ],
)
def test_whoever_may_not_read_lands_on_a_page_of_theirs(
    visitor: Visitor, site: Site, scope: Scope, landing: str, links: list[str]
) -> None:
    name = f"only {scope.replace(':', ' ')}"
    with site.database.write() as session:
        key = create_key(session, name, "cli:test", [scope])
    page = visitor.goes("/")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.address}{landing}")
    for address, heading in (("/", "You may not do this"), ("/nowhere", "There is no such page")):
        visitor.goes(address)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        assert page.get_by_role("navigation").get_by_role("link").all_text_contents() == links
        page.get_by_role("link", name="To your first page").click()
        page.wait_for_url(f"{site.address}{landing}")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("main")).to_contain_text(scope)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.address}/sign-in")
    visitor.complaints.clear()  # the browser says on its console that answers were 403 and 404


def test_another_language_keeps_where_one_was_going(visitor: Visitor, site: Site) -> None:
    study = f"/studies/{site.hospital.study}"
    page = visitor.goes(study)
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Anmelden")
    page.get_by_label("Schlüssel").fill(site.hospital.key)
    page.get_by_role("button", name="Anmelden").click()
    page.wait_for_url(f"{site.address}{study}")
