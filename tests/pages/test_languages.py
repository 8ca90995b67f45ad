from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from babel.messages.pofile import read_po

from api.pages.formats import Formats, offset, zone
from api.pages.languages import CATALOGUES, LANGUAGES
from tests.pages.conftest import Site
from tests.pages.messages import used_messages

_OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", _OTHERS)
def test_every_text_is_translated_and_no_translation_is_left_over(language: str) -> None:
    with (CATALOGUES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    translated = {
        message.id if isinstance(message.id, str) else tuple(message.id)
        for message in catalogue
        if message.id and (all(message.string) if isinstance(message.string, tuple) else message.string)
    }
    assert translated == used_messages()
    assert [(message.id, errors) for message, errors in catalogue.check()] == []


def test_the_browser_s_language_and_the_one_chosen_on_the_page(site: Site) -> None:
    with httpx.Client(base_url=site.address, headers={"X-API-Key": site.hospital.key}) as client:
        assert '<html lang="en"' in client.get("/").text
        assert '<html lang="en"' in client.get("/", headers={"Accept-Language": "fr;q=0.9, *;q=x"}).text
        german = client.get("/", headers={"Accept-Language": "fr, de-AT;q=0.8, en;q=0.5"}).text
        assert '<html lang="de"' in german
        assert "Beurteilt" in german
        client.post("/preferences", data={"language": "de", "back": "/"})
        assert '<html lang="de"' in client.get("/", headers={"Accept-Language": "en"}).text


def test_numbers_and_dates_follow_the_language() -> None:
    english, german = Formats("en"), Formats("de")
    assert (english.number(12345.678, 1), german.number(12345.678, 1)) == ("12,345.7", "12.345,7")
    assert (english.probability(0.9135), german.probability(0.9135)) == ("91.4 %", "91,4 %")
    assert german.probability(0.9999) == "> 99,9 %"
    assert (english.study_date("20260302"), german.study_date("20260302")) == ("2 Mar 2026", "02.03.2026")
    assert german.study_date("soon") == "soon"
    assert german.ago(datetime.now(UTC) - timedelta(days=2)).unescape().endswith(">vor 2 Tagen</time>")
    assert (german.seconds(0.4231), german.seconds(3.14), german.seconds(300)) == ("0,42 s", "3,1 s", "5 Minuten")


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("place", "offsets"),
    [
        ("America/New_York", {"UTC\u22125", "UTC\u22124"}),
        ("Europe/Berlin", {"UTC+1", "UTC+2"}),
        ("Asia/Kolkata", {"UTC+5:30"}),
        ("Etc/UTC", {"UTC"}),
        ("<+03>-3", {"UTC+3"}),
    ],
)
def test_a_time_of_the_other_half_of_the_year_says_its_offset(
    in_zone: Callable[[str], None], place: str, offsets: set[str]
) -> None:
    in_zone(place)
    assert zone() == (place if "/" in place and place != "Etc/UTC" else offset())
    winter, summer = (datetime(2026, month, 2, 12, tzinfo=UTC) for month in (1, 7))
    assert {offset(moment.astimezone()) for moment in (winter, summer)} == offsets
    for moment in (winter, summer):
        told = offset(moment.astimezone())
        for shown in (Formats("en").when(moment), Formats("de").day_and_time(moment)):
            assert shown.removesuffix("</time>").endswith(f" {told}") == (told != offset())


def test_the_footer_names_the_place_and_the_page_the_offset(in_zone: Callable[[str], None], site: Site) -> None:
    in_zone("Europe/Berlin")
    client = httpx.Client(base_url=site.address, headers={"X-API-Key": site.hospital.key})
    assert f"Times are in Europe/Berlin, now {offset()};" in client.get("/models").text
    in_zone("UTC")
    assert "Times are in UTC." in client.get("/models").text
    client.close()


def test_times_are_local_with_utc_in_the_title() -> None:
    shown = Formats("en").day_and_time(datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC))
    assert 'title="2026-03-02 08:15:04 UTC"' in shown
    assert datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC).astimezone().strftime("%H:%M:%S") in shown
