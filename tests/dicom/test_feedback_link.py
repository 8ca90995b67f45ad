"""The way from a result to the page that takes feedback, as viewers, validators and machines find it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from core.records import REPORT_KINDS, ResultKind
from core.wording import RIGHT_OR_WRONG
from dicom import codes, encapsulated_pdf, report, secondary_capture
from dicom.case import Case
from dicom.envelope import write
from dicom.sentences import BEFORE_THE_ADDRESS
from tests.dicom.sources import ANALYSES, CREATED, MODEL, picture
from tests.dicom.test_encapsulated_pdf import PICTURE, extracted, words
from tests.dicom.test_report import REGION, opened, rendered, texts
from tests.dicom.test_results import INTENDED_USE, SOURCES, dciodvfy
from tests.services import require_program

URL = "https://pneumo.example.org/r/1.2.826.0.1.3680043.8.498.11223344556677889900112233445566778899"


def case_of(source: str = "clean", url: str = URL) -> Case:
    return Case(SOURCES[source], ANALYSES["positive"], MODEL, INTENDED_USE, CREATED, REGION, feedback_url=url)


def report_of(case: Case, kind: ResultKind = ResultKind.REPORT) -> Dataset:
    return report.build(case, kind, secondary_capture.build(case, picture()))


def _concepts(document: Dataset) -> list[Code]:
    return [item.name for item in opened(document)[0].ContentSequence]


@pytest.mark.parametrize("kind", REPORT_KINDS)
def test_a_report_has_the_bare_address_under_a_code_of_its_own(kind: ResultKind, tmp_path: Path) -> None:
    document = report_of(case_of(), kind)
    assert dciodvfy(document, tmp_path) == []
    items = opened(document)[0].ContentSequence
    (place,) = [place for place, item in enumerate(items) if item.name == codes.URI]
    assert (items[place].ValueType, items[place].TextValue) == ("TEXT", URL)
    assert items[place - 1].TextValue == BEFORE_THE_ADDRESS
    assert items[2].TextValue == INTENDED_USE, "which stays the first of all words"
    assert URL in rendered("dsrdump", document, tmp_path, "+Pl")
    assert URL in rendered("dsr2html", document, tmp_path)


def test_a_picture_says_it_in_its_comments(tmp_path: Path) -> None:
    capture = secondary_capture.build(case_of(), picture())
    assert dciodvfy(capture, tmp_path) == []
    assert capture.ImageComments.splitlines()[-1] == f"{RIGHT_OR_WRONG} {URL}"


def test_an_address_that_a_character_set_cannot_hold_is_kept(tmp_path: Path) -> None:
    case = case_of("latin", "https://例え.example/r/1.2")
    for result in (report_of(case), secondary_capture.build(case, picture())):
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert dciodvfy(result, tmp_path) == []


@pytest.mark.parametrize(
    "url", [URL, f"https://{'long-name.' * 15}example/r/1.2.3", 'http://10.0.0.1/a?b="c"&d=<e>/r/1.2']
)
def test_a_click_on_the_page_opens_it(url: str, tmp_path: Path) -> None:
    document = encapsulated_pdf.build(case_of(url=url), PICTURE)
    assert dciodvfy(document, tmp_path) == []
    listed = subprocess.run(
        [require_program("pdfinfo"), "-url", extracted(document, tmp_path)], capture_output=True, text=True, check=True
    )
    assert {line.split(maxsplit=2)[2] for line in listed.stdout.splitlines()[1:]} == {url}
    assert url.replace(" ", "") in "".join(words(document, tmp_path).split())
    assert encapsulated_pdf.build(case_of(url=url), PICTURE).EncapsulatedDocument == document.EncapsulatedDocument


def test_without_an_address_nothing_is_said_of_one(tmp_path: Path) -> None:
    case = case_of(url="")
    document = report_of(case)
    assert codes.URI not in _concepts(document)
    assert BEFORE_THE_ADDRESS not in texts(document)
    assert RIGHT_OR_WRONG not in secondary_capture.build(case, picture()).ImageComments
    assert RIGHT_OR_WRONG not in words(encapsulated_pdf.build(case, PICTURE), tmp_path)


def test_the_address_is_no_part_of_what_a_result_is_called() -> None:
    """Results are built once and kept: another setting changes the next images' results and no object that exists."""
    here, there = case_of(), replace(case_of(), feedback_url="https://other.example/r/1")
    for build in (report_of, lambda case: secondary_capture.build(case, picture())):
        first, second = build(here), build(there)
        assert (first.SOPInstanceUID, first.SeriesInstanceUID) == (second.SOPInstanceUID, second.SeriesInstanceUID)
        assert write(first) != write(second)
        assert write(first) == write(build(here))
