from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from core.records import ResultKind
from dicom import report, secondary_capture
from dicom.case import Case
from dicom.envelope import code_item
from dicom.headers import quietly
from dicom.orders import requests
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, picture
from tests.dicom.test_results import dciodvfy

CHEST_FRONT = Code("36643-5", "LN", "XR Chest 2 Views")


def ordered(**attributes: str) -> Dataset:
    request = Dataset()
    request.RequestedProcedureID = "RP-17"
    request.RequestedProcedureDescription = "Thorax für Müller"
    request.RequestedProcedureCodeSequence = [code_item(CHEST_FRONT)]
    for keyword, value in attributes.items():
        setattr(request, keyword, value)
    dataset = clean_dx()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.RequestAttributesSequence = [request]
    return dataset


def test_a_picture_answers_the_same_request_as_its_source(tmp_path: Path) -> None:
    case = Case(as_source(ordered()), ANALYSES["positive"], MODEL, "TEST", CREATED)
    capture = secondary_capture.build(case, picture())
    (request,) = capture.RequestAttributesSequence
    assert (request.RequestedProcedureID, request.RequestedProcedureDescription) == ("RP-17", "Thorax für Müller")
    assert request.RequestedProcedureCodeSequence[0].CodeValue == CHEST_FRONT.value
    assert dciodvfy(capture, tmp_path) == []


def test_a_report_refers_to_the_request_with_its_accession_number(tmp_path: Path) -> None:
    source = ordered()
    source.AccessionNumber = "A-4711"
    case = Case(as_source(source), ANALYSES["positive"], MODEL, "TEST", CREATED)
    document = report.build(case, ResultKind.REPORT, None)
    (request,) = document.ReferencedRequestSequence
    assert (request.AccessionNumber, request.RequestedProcedureID) == ("A-4711", "RP-17")
    assert "RequestAttributesSequence" not in document
    assert dciodvfy(document, tmp_path) == []


def test_what_stands_beside_the_sequence_counts_too() -> None:
    dataset = clean_dx()
    dataset.RequestedProcedureID = "RP-18"
    assert [request.RequestedProcedureID for request in requests(dataset)] == ["RP-18"]


@pytest.mark.parametrize(
    ("keyword", "value"), [("RequestedProcedureID", ""), ("RequestedProcedureID", "a number longer than 16")]
)
def test_a_request_without_a_legal_number_is_left_out(keyword: str, value: str) -> None:
    dataset = ordered()
    with quietly():
        dataset.RequestAttributesSequence[0].add_new(keyword, "SH", value)
    assert requests(dataset) == []


def test_a_code_without_meaning_is_left_out() -> None:
    dataset = ordered()
    del dataset.RequestAttributesSequence[0].RequestedProcedureCodeSequence[0].CodeMeaning
    assert "RequestedProcedureCodeSequence" not in requests(dataset)[0]
