"""The order behind a study, as far as its images tell: which requested procedure they answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom.headers import items, long_string

_CODE_VALUE = re.compile(r"[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]{0,15}")


def requests(source: Dataset) -> list[Dataset]:
    """Request Attributes (PS3.3 10.6) of the source that name a requested procedure; what is illegal is left out.

    Some senders write them beside the sequence instead of in it.
    """
    found = (_request(item) for item in items(source, "RequestAttributesSequence") or [source])
    return [request for request in found if "RequestedProcedureID" in request]


def referenced_requests(result: Dataset, found: Sequence[Dataset]) -> list[Dataset]:
    """The same as SR Document General wants it (PS3.3 C.17.2); ``result`` holds study and accession number."""
    references = []
    for request in found:
        item = Dataset()
        item.StudyInstanceUID, item.AccessionNumber = result.StudyInstanceUID, result.AccessionNumber
        item.ReferencedStudySequence, item.RequestedProcedureCodeSequence = [], []
        item.PlacerOrderNumberImagingServiceRequest = item.FillerOrderNumberImagingServiceRequest = ""
        item.RequestedProcedureDescription = ""
        for keyword in ("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence"):
            if keyword in request:
                setattr(item, keyword, request[keyword].value)
        references.append(item)
    return references


def texts(found: Sequence[Dataset]) -> list[str]:
    """Everything in them that needs a character set."""
    return [str(element.value) for request in found for element in request.iterall() if element.VR in ("SH", "LO")]


def _request(source: Dataset) -> Dataset:
    request = Dataset()
    for keyword, longest in (
        ("RequestedProcedureID", 16),
        ("RequestedProcedureDescription", 64),
        ("ScheduledProcedureStepID", 16),
        ("ScheduledProcedureStepDescription", 64),
    ):
        if value := long_string(source, keyword, longest):
            setattr(request, keyword, value)
    codes = [code for item in items(source, "RequestedProcedureCodeSequence") if (code := _code(item)) is not None]
    if codes:
        request.RequestedProcedureCodeSequence = codes[:1]  # PS3.3 10.6: one item at most
    return request


def _code(source: Dataset) -> Dataset | None:
    code = Dataset()
    code.CodeValue = long_string(source, "CodeValue", 16)
    code.CodingSchemeDesignator = long_string(source, "CodingSchemeDesignator", 16)
    code.CodeMeaning = long_string(source, "CodeMeaning")
    whole = _CODE_VALUE.fullmatch(code.CodeValue) and code.CodingSchemeDesignator and code.CodeMeaning
    return code if whole else None
