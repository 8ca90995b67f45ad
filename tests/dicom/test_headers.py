"""Attributes as they arrive: none of them raises, whatever it holds."""

from __future__ import annotations

import contextlib

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from core.errors import FailedForGood, NotAnalysable
from core.records import Analysis, Finding, Outcome, ResultKind
from dicom import gate, report
from dicom.case import Case
from dicom.envelope import write
from dicom.headers import inherited, integer, items, numbers, text, values
from dicom.pixels import radiograph
from tests.dicom.sources import CREATED, MODEL, as_source, clean_dx, reread, with_raw

NONSENSE = (
    b"",
    b" ",
    b"\0\0",
    b"\\",
    b"\\\\",
    b"-1",
    b"1e400",
    b"nan",
    b"\xff\xfe",
    b"\x1b$B\x1b(B",
    b"x" * 200,
    b"^^=",
)


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_readers_never_raise(value: bytes) -> None:
    for keyword in ("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "StudyTime", "WindowCenter",
                    "InstanceNumber", "Rows", "SOPInstanceUID", "PixelPaddingValue", "ViewCodeSequence"):  # fmt: skip
        if dictionary_VR(keyword) == "SQ" and value:
            continue  # pydicom cannot hold raw bytes as a sequence: that file would not have been read
        dataset = with_raw(reread(write(clean_dx())), **{keyword: value})
        for reader in (values, text, numbers, items):
            reader(dataset, keyword)
        assert isinstance(integer(dataset, keyword, 7), int)
        assert isinstance(inherited(dataset, ["a text"]), Dataset)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientID", b" 123 ", "123"),
        ("PatientID", b"P\\1", ""),
        ("PatientID", b"x" * 65, ""),
        ("PatientID", b"12\x0734", ""),
        ("PatientSex", b"F", "F"),
        ("PatientSex", b"f", ""),
        ("PatientBirthDate", b"20210229x", ""),
        ("PatientBirthDate", b"20211301", ""),
        ("StudyTime", b"0830", "0830"),
        ("StudyTime", b"083000.123", "083000.123"),
        ("StudyTime", b"2530", ""),
        ("AccessionNumber", b"1234567890123456", "1234567890123456"),
        ("AccessionNumber", b"12345678901234567", ""),
        ("PatientName", b"Nobody^Nina^^^^^", "Nobody^Nina"),
        ("PatientName", b"a=b=c=d", ""),
        ("PatientName", b"x" * 65, ""),
    ],
)
def test_inherited_attributes_are_equal_or_empty(keyword: str, value: bytes, expected: str) -> None:
    dataset = with_raw(reread(write(clean_dx())), **{keyword: value})
    assert inherited(dataset, [])[keyword].value == expected


def test_optional_attributes_are_left_out_rather_than_emptied() -> None:
    dataset = with_raw(reread(write(clean_dx())), PatientAge=b"four", IssuerOfPatientID=b"HOSPITAL")
    result = inherited(dataset, [])
    assert "PatientAge" not in result
    assert result.IssuerOfPatientID == "HOSPITAL"


@pytest.mark.parametrize(
    ("named", "texts", "expected"),
    [
        (None, ["plain"], None),
        (None, ["Größe"], "ISO_IR 192"),
        (b"ISO_IR 6", ["Größe"], "ISO_IR 192"),
        (b"ISO_IR 100", ["Größe"], "ISO_IR 100"),
        (b"ISO_IR 100", ["Ελλάδα"], "ISO_IR 192"),
        (b"ISO-IR 100", ["Größe"], "ISO_IR 192"),
        (b"KLINGON", ["plain"], "ISO_IR 192"),
        (b"ISO_IR 192", ["Ελλάδα"], "ISO_IR 192"),
        (b"\\ISO 2022 IR 87", ["山田"], ["", "ISO 2022 IR 87"]),
        (b"\\ISO 2022 IR 87", ["Ωμεγα"], ["", "ISO 2022 IR 87"]),  # JIS X 0208 has Greek letters, too
        (b"\\ISO 2022 IR 87", ["Größe"], "ISO_IR 192"),
    ],
)
def test_the_character_set_is_the_sources_while_it_holds_the_texts(
    named: bytes | None, texts: list[str], expected: str | list[str] | None
) -> None:
    dataset = clean_dx()
    del dataset.SpecificCharacterSet
    if named is not None:
        dataset = with_raw(reread(write(dataset)), SpecificCharacterSet=named)
    found = inherited(dataset, texts).get("SpecificCharacterSet")
    assert (list(found) if isinstance(expected, list) else found) == expected


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_an_image_whose_every_attribute_is_nonsense_passes_every_room(value: bytes) -> None:
    """Judged, refused or failed in our own words; and reported in any case."""
    kept = ("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    broken = {
        element.keyword: value
        for element in clean_dx()
        if element.keyword not in kept and element.VR not in ("SQ", "OB", "OW", "US", "SS")
    }
    source = as_source(with_raw(reread(write(clean_dx())), **broken))
    reasons = gate.refusals(source)
    with contextlib.suppress(NotAnalysable, FailedForGood):
        gate.warnings(source, radiograph(source.dataset))
    analysis = Analysis(Outcome.NOT_ANALYSED, reasons=(*reasons, Finding("a_reason")))
    result = report.build(Case(source, analysis, MODEL, "TEST", CREATED), ResultKind.REPORT, None)
    assert reread(write(result)).StudyInstanceUID == source.study_instance_uid
