"""Pages on any screen, whatever stands on them: nothing is cut off, lies over something else or scrolls sideways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from api.pages.formats import Formats
from audit.alerts import AlertCode, Condition, settle_alerts
from audit.api_keys import create_key
from audit.deliveries import claim_deliveries, mark_dead
from audit.drift import monday_of
from audit.events import record_event
from audit.feedback import give_feedback
from audit.models import Agreement
from core.records import ModelIdentity
from core.scopes import Scope
from core.settings import Settings
from tests.api.conftest import serving
from tests.audit.databases import emptied, migrated
from tests.audit.history import scores, seed
from tests.audit.rows import analysed, book, positive, received, report
from tests.pages.addresses import addresses
from tests.pages.conftest import Site, Visitor, visiting
from tests.pages.hospital import Hospital
from tests.services import free_port

_PHONE = {"width": 390, "height": 844}
_BROAD = "W" * 64
"""No letter is broader, and it has no place to break."""
_UID = "2.25." + "3" * 59


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A hospital whose every name is as long as it may be."""
    folder = tmp_path_factory.mktemp("crowded")
    port = free_port()
    settings = Settings(home=folder, api={"port": port}, listener={"disk_reserve_bytes": 0})  # type: ignore[arg-type]
    with migrated("postgresql", folder) as url, emptied(url, folder) as database:
        names = {"patient_id": _BROAD, "issuer_of_patient_id": _BROAD, "accession_number": _BROAD, "source": _BROAD}
        image, pseudonym = received(**names), received(**names | {"patient_id": "d4" * 32})
        model = ModelIdentity(_BROAD, "1.0.0-" + "8" * 58, "pneumo", "ab" * 32, "{}", "pneumonia", 0.5, 1.0)
        analysed(database, positive(0.9), [image, pseudonym], destinations=[_BROAD], model=model, device_uid=_UID)
        report(database)
        this_week = monday_of(datetime.now(UTC).date())
        for weeks in (3, 2, 1):
            seed(database, "room-1", this_week - timedelta(weeks=weeks), scores(60, seed=weeks), device_uid=_UID)
        waiting = book(database, received(**names | {"patient_id": "AVERAGE-4711", "accession_number": "2026-000815"}))
        with database.write() as session:
            for delivery in claim_deliveries(session, 9, 60):
                mark_dead(session, delivery, "gave_up_after_association_rejected_for_now", None)
            give_feedback(
                session, 1, agreement=Agreement.AGREE, comment="W" * 2000, reader=_BROAD, principal=_BROAD
            )  # fmt: skip
            settle_alerts(
                session, [Condition(AlertCode.DEAD_LETTERS, _BROAD, f"2 results for {_BROAD} were given up.")]
            )
            record_event(
                session, "association.refused", actor="W" * 16, called_ae_title="W" * 16,
                address="2001:0db8:85a3:0000:0000:8a2e:0370:7334", cause="called_ae_title_unknown",
            )  # fmt: skip
            key = create_key(session, _BROAD, "cli:test", list(Scope))
        hospital = Hospital(image.study_instance_uid, image.sop_instance_uid, waiting.study_instance_uid, key, "", "")
        with serving(settings, database):
            yield Site(f"http://127.0.0.1:{port}", hospital, database)


# 320 px: WCAG 1.4.10
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_screen(browser: Browser, crowded: Site, width: int) -> None:
    with visiting(browser, crowded, viewport={"width": width, "height": 800}, locale="de-DE") as visitor:
        visitor.goes("/sign-in")
        visitor.page.locator("#key").fill(crowded.hospital.key)
        visitor.page.locator("main button").click()
        visitor.page.wait_for_url(f"{crowded.address}/")
        places = [*addresses(crowded.hospital), f"/search?source={_BROAD}"]
        found = {address: _beyond_the_edge(visitor.goes(address)) for address in places}
    assert {address: beyond for address, beyond in found.items() if beyond} == {}


def _beyond_the_edge(page: Page) -> list[str]:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    beyond: list[str] = page.evaluate("""[...document.querySelectorAll('body *')]
        .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .filter((each) => !each.closest('thead, .unseen'))  // on a phone the heads are for screen readers alone
        .map((each) => each.outerHTML.slice(0, 90))""")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*beyond[:4], *([f"{wide} px too wide"] if wide else [])]


def test_identifiers_are_read_in_few_pieces_on_a_desk(browser: Browser, crowded: Site) -> None:
    with visiting(browser, crowded, viewport={"width": 1280, "height": 800}) as visitor:
        page = visitor.signs_in(crowded.hospital.key, f"/search?source={_BROAD}")
        lines = "(text) => text.getClientRects().length"
        rows = page.locator("#rows .uid")
        assert rows.count() == 3
        assert max(uid.evaluate(lines) for uid in rows.all()) <= 3
        for short in ("2026-000815", "AVERAGE-4711"):
            assert page.get_by_text(short, exact=True).evaluate(lines) == 1


@pytest.mark.parametrize("address", ["/", "/models"])
def test_rows_on_a_phone_are_as_high_as_their_labels(browser: Browser, site: Site, address: str) -> None:
    with _on_a_phone(browser, site, address) as visitor:
        cells = visitor.page.locator("table tbody td[data-label]")
        assert cells.count() > 5
        spilt = (
            "(cells) => cells.filter((each) => each.scrollHeight > each.clientHeight + 1).map((each) => each.outerHTML)"
        )
        assert cells.evaluate_all(spilt) == []
        sides = "(cells) => cells.map((each) => getComputedStyle(each, '::before').textAlign)"
        assert set(cells.evaluate_all(sides)) <= {"left", "start"}


def test_the_numbers_of_the_hour_chart_are_whole_on_a_phone(browser: Browser, site: Site) -> None:
    with _on_a_phone(browser, site, "/") as visitor:
        cut = visitor.page.evaluate("""() => {
            const chart = document.querySelector('.chart svg').getBoundingClientRect();
            return [...document.querySelectorAll('.chart text')].map((each) => each.getBoundingClientRect())
                .filter((each) => each.top < chart.top || each.left < chart.left || each.bottom > chart.bottom
                    || each.right > chart.right).length
        }""")
        assert cut == 0


def test_where_one_is_can_be_seen_on_a_phone(browser: Browser, site: Site) -> None:
    with _on_a_phone(browser, site, "/keys") as visitor:
        place = visitor.page.locator("nav a[aria-current]").bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= _PHONE["width"]


def test_drift_is_told_by_weeks_and_in_figures(browser: Browser, crowded: Site) -> None:
    with visiting(browser, crowded) as visitor:
        page = visitor.signs_in(crowded.hospital.key, "/models")
        weeks = [monday_of(datetime.now(UTC).date()) - timedelta(weeks=number) for number in (3, 1)]
        first, last = (Formats("en").date_of(week) for week in weeks)
        card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="room-1"))
        chart = card.get_by_role("img", name="Share of positive answers by week")
        label = chart.get_attribute("aria-label") or ""
        told = re.search(rf"interval: (\d+ %) in the week from {first}, (\d+ %) in the week from {last}$", label)
        assert told
        assert chart.locator("text").all_text_contents()[2:] == [Formats("en").day_of_month(week) for week in weeks]
        card.get_by_text("The same as a table").click()
        table = card.get_by_role("table", name="What room-1 sent, by week")
        for week, share in zip((first, last), told.groups(), strict=True):
            row = table.get_by_role("row", name=week)
            expect(row.get_by_role("cell").first).to_have_text("60")
            expect(row.get_by_role("cell").nth(1)).to_contain_text(share)


@contextmanager
def _on_a_phone(browser: Browser, site: Site, address: str) -> Iterator[Visitor]:
    with visiting(browser, site, viewport=_PHONE, has_touch=True, locale="de-DE") as visitor:
        visitor.goes(f"/sign-in?next={address}")
        visitor.page.locator("#key").fill(site.hospital.key)
        visitor.page.locator("main button").click()
        visitor.page.wait_for_url(f"{site.address}{address}")
        yield visitor
