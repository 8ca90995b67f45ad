"""The objects and messages that tell about one analysed image."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from core.records import REPORT_KINDS, ResultKind, ResultObject
from core.spool import Spool
from dicom import encapsulated_pdf, presentation_state, report, secondary_capture, segmentation
from dicom.case import Case
from dicom.envelope import write
from worker.events import event_bytes, event_uid
from worker.hl7 import message_bytes, message_uid

Picture = npt.NDArray[np.uint8]
"""(h, w, 3), what the Secondary Capture shows."""

DEFAULT_KINDS = frozenset({ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT})

# A result about a result would travel in circles between two installations.
_NOTHING_WRITTEN_ABOUT = "own_result"


@dataclass(frozen=True, slots=True)
class BuiltResult:
    """A file or message as it will be sent. A message has no SOP class and no series."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    content: bytes


def stored(result: BuiltResult, spool: Spool) -> ResultObject:
    """At rest, as it will be sent."""
    return ResultObject(
        kind=result.kind,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        spool_name=spool.write(result.content, "results"),
        sha256=hashlib.sha256(result.content).hexdigest(),
    )


def built(kind: ResultKind, dataset: Dataset) -> BuiltResult:
    return BuiltResult(
        kind,
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SeriesInstanceUID),
        write(dataset),
    )


def results_about(case: Case, picture: Picture | None, kinds: Collection[ResultKind]) -> tuple[BuiltResult, ...]:
    """One of each wanted kind that the case has: a picture needs a judged image, a segmentation a region."""
    if any(reason.code == _NOTHING_WRITTEN_ABOUT for reason in case.analysis.reasons):
        return ()
    results = []
    capture = None
    if picture is not None and ResultKind.SECONDARY_CAPTURE in kinds:
        capture = secondary_capture.build(case, picture)
        results.append(built(ResultKind.SECONDARY_CAPTURE, capture))
    results += [built(kind, report.build(case, kind, capture)) for kind in REPORT_KINDS if kind in kinds]
    if case.analysis.prediction is not None and ResultKind.PRESENTATION_STATE in kinds:
        results.append(built(ResultKind.PRESENTATION_STATE, presentation_state.build(case)))
    if case.region is not None and ResultKind.SEGMENTATION in kinds:
        results.append(built(ResultKind.SEGMENTATION, segmentation.build(case)))
    if ResultKind.ENCAPSULATED_PDF in kinds:
        results.append(built(ResultKind.ENCAPSULATED_PDF, encapsulated_pdf.build(case, picture)))
    objects = [(result.kind, result.sop_class_uid, result.sop_instance_uid) for result in results]
    if ResultKind.HL7_MESSAGE in kinds:
        results.append(_message(ResultKind.HL7_MESSAGE, message_uid(case), message_bytes(case)))
    if ResultKind.WEBHOOK_EVENT in kinds:
        results.append(_message(ResultKind.WEBHOOK_EVENT, event_uid(case), event_bytes(case, objects)))
    return tuple(results)


def _message(kind: ResultKind, uid: str, content: bytes) -> BuiltResult:
    return BuiltResult(kind, "", uid, "", content)
