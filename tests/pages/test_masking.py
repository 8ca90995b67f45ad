"""Whoever may not see patients finds none on any page."""

from __future__ import annotations

import httpx
import pytest

from api.masking import MASKED
from tests.pages.addresses import addresses
from tests.pages.conftest import Site
from tests.pages.hospital import NAMES_OF_PATIENTS, PATIENT


def _client(site: Site, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=site.address, headers={"X-API-Key": key, "Accept": "text/html"}, timeout=30, follow_redirects=False
    )


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_page_tells_of_a_patient(site: Site, language: str) -> None:
    with _client(site, site.hospital.masked_key) as client:
        for address in addresses(site.hospital):
            answer = client.get(address, headers={"Accept-Language": language})
            assert answer.status_code == 200, address
            assert not [name for name in NAMES_OF_PATIENTS if name in answer.text], address
        found = client.post("/search", data={"q": PATIENT, "outcome": ""}).text
        assert PATIENT not in found.replace(f'value="{PATIENT}"', "")  # but for the word as it was typed
        study = client.get(f"/studies/{site.hospital.study}", headers={"Accept-Language": language}).text
        assert {"en": MASKED, "de": "(unkenntlich)"}[language] in study
        assert (MASKED in study) == (language == "en")


def test_who_may_see_patients_sees_them_on_these_pages(site: Site) -> None:
    """So that the test above looks for what would be there."""
    with _client(site, site.hospital.key) as client:
        for address in (f"/studies/{site.hospital.study}", f"/r/{site.hospital.image}"):
            assert PATIENT in client.get(address).text
        assert PATIENT in client.post("/search", data={"q": PATIENT}).text
