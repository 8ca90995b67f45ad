"""Annex B of the Conformance Statement: coded concepts and templates (PS3.16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom import Dataset
from pydicom.sr.coding import Code

from cli.conformance.markdown import table, text
from cli.conformance.samples import Sample
from core.records import ResultKind
from dicom import codes

_TEMPLATES = (
    ("1500", "Measurement Report", "root of the reports and of the study summary"),
    ("1204", "Language of Content Item and Descendants", "English"),
    ("1001, 1002, 1004", "Observation Context, Observer Context, Device Observer", "the model; no person observer"),
    ("1600, 1602", "Image Library, Image Library Entry", "the source image with its view alone"),
    ("1410", "Planar ROI Measurements and Qualitative Evaluations", "where a region is known"),
    ("1501", "Measurement and Qualitative Evaluation Group", "where none is"),
    ("4019", "Algorithm Identification", "name, version, manufacturer, family, parameters"),
    ("2010", "Key Object Selection", "key objects and rejection notes"),
)


def annex(objects: Mapping[ResultKind, Sequence[Sample]]) -> str:
    written = {code for samples in objects.values() for sample in samples for code in _codes(sample.dataset)}
    rows = sorted(
        {value for value in vars(codes).values() if isinstance(value, Code)},
        key=lambda value: (value.scheme_designator, value.value),
    )
    return "\n\n".join(
        (
            "### B.1 Templates",
            table(("TID", "Name", "Use"), _TEMPLATES),
            "### B.2 Codes",
            _INTRODUCTION,
            table(
                ("Scheme", "Value", "Meaning", "Use"),
                (
                    (
                        value.scheme_designator,
                        value.value,
                        value.meaning,
                        "written" if (value.scheme_designator, value.value) in written else "written or read",
                    )
                    for value in rows
                ),
            ),
        )
    )


_INTRODUCTION = text("""
    Every concept that is written or recognised: "written" stands in an object of Annex A, "written or read" is
    recognised in received images, or written for outcomes and reasons that Annex A has no sample of. All schemes are
    standard ones; there are no private codes, and the codes are not configurable. What has no standard code (the
    reasons and warnings of the image gate) is written as words that begin with a stable code of ours.
""")


def _codes(dataset: Dataset) -> set[tuple[str, str]]:
    return {
        (item.CodingSchemeDesignator, item.CodeValue)
        for element in dataset.iterall()
        if element.VR == "SQ"
        for item in element.value
        if "CodeValue" in item
    }
