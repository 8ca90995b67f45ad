"""After something was done: back to the place where it was done."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from api.pages import dead_letters
from audit.deliveries import claim_deliveries, mark_dead
from audit.session import Database
from tests.audit.rows import analysed, report


def test_a_requeue_leads_back_to_its_page_of_dead_letters(
    client: httpx.Client, books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_PER_PAGE", 1)
    analysed(books)
    report(books)
    with books.write() as session:
        for delivery in claim_deliveries(session, 2, 60):
            mark_dead(session, delivery, "sop_class_not_supported", 0x0122)
    older = _found(r'class="button" href="([^"]+)"', client.get("/dead-letters").text)
    page = client.get(older).text
    back = _found(r'name="back" value="([^"]+)"', page)
    done = client.post(_found(r'action="(/deliveries/[^"]+)"', page), data={"back": back})
    assert (done.status_code, done.headers["Location"]) == (303, f"{older}&notice=requeued")
    after = client.get(done.headers["Location"]).text
    assert "The delivery is queued again." in after
    assert "There are no older ones." in after
    assert "Nothing was given up." not in after, "one letter is left, on the first page"
    assert _found(r'class="preferences">\s*<input type="hidden" name="back" value="([^"]+)"', after) == older


@pytest.mark.parametrize("back", ["/search?days=0&outcome=positive", "/sign-in?next=%2Fstudies%2F1.2.3"])
def test_another_language_leads_back_with_all_that_was_asked(client: httpx.Client, back: str) -> None:
    offered = _found(r'class="preferences">\s*<input type="hidden" name="back" value="([^"]+)"', client.get(back).text)
    answer = client.post("/preferences", data={"language": "de", "back": offered})
    assert answer.headers["Location"] == back


def _found(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found, pattern
    return unescape(found[1])
