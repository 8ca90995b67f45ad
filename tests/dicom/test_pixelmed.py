"""Every kind of report held against the templates of PS3.16 by PixelMed's validator, in one go: it starts slowly."""

from __future__ import annotations

from pathlib import Path

from pydicom.sr.coding import Code

from core.records import ResultKind
from dicom import codes
from dicom.envelope import code_item
from tests.dicom import pixelmed
from tests.dicom.sources import ANALYSES
from tests.dicom.test_feedback_link import case_of
from tests.dicom.test_feedback_link import report_of as linked_report_of
from tests.dicom.test_report import BLANK, ETIOLOGY, LIMITED, LOST, report_of
from tests.dicom.test_study_summary import summary_of

# What PixelMed of 2022 finds beyond the templates, which TID 1410, 1500 and 1501 allow.
EXTENSIONS = {
    ("TEXT", codes.COMMENT),
    ("TEXT", Code("122405", "DCM", "Algorithm Manufacturer")),  # TID 4019 since 2018
    ("CODE", codes.PNEUMONIA),
    ("CODE", codes.PROCESSING_SUMMARY),
    ("CODE", codes.SUMMARY_OF_ANALYSES),
    ("CODE", codes.QUALITY_ASSESSMENT),
    ("CODE", codes.QUALITY_FINDING),
    ("TEXT", codes.SUMMARY),
    ("TEXT", codes.URI),
    ("IMAGE", codes.GRAD_CAM),
    ("COMPOSITE", codes.SOURCE_REPORT),
}


def test_no_report_breaks_its_template(tmp_path: Path) -> None:
    outside = report_of()
    outside.ContentSequence[6].ConceptCodeSequence = [code_item(codes.PNEUMONIA)]  # no procedure of CID 100
    reports = {
        "region": report_of(),
        "no region": report_of("japanese", ETIOLOGY, region=False),
        "negative": report_of("cyrillic", LIMITED),
        "not analysed": report_of("bare", BLANK),
        "failed": report_of("latin", LOST),
        "3D": report_of("clean", kind=ResultKind.REPORT_3D),
        "3D failed": report_of("clean", ANALYSES["failed"], ResultKind.REPORT_3D),
        "Stone": report_of("dirty", kind=ResultKind.REPORT_STONE),
        "summary": summary_of("positive", "negative", "failed", complete=True),
        "link": linked_report_of(case_of()),
        "3D link": linked_report_of(case_of(), ResultKind.REPORT_3D),
        "outside": outside,
    }
    said = pixelmed.validate(reports, tmp_path)
    assert any(line.startswith("Error") and "Procedure" in line for line in said.pop("outside"))
    for name, lines in said.items():
        assert any("TID_1500" in line for line in lines), name
        assert [line for line in lines if line.startswith(("Error", "Warning")) and not _extends(line)] == [], name


def _extends(line: str) -> bool:
    return line.endswith("Content Item not in template") and any(
        f"/{kind} ({code.value},{code.scheme_designator}," in line for kind, code in EXTENSIONS
    )
