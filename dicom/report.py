"""The report a machine can trust, as Comprehensive SR or Comprehensive 3D SR (PS3.3 A.35.3, A.35.13) after TID 1500."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from core.records import ResultKind
from dicom import codes
from dicom.case import Case
from dicom.envelope import envelope
from dicom.evidence import Reference, evidence_sequence
from dicom.observation import measurement_report
from dicom.report_content import measurement_group
from dicom.sentences import remarks, result_sentence

SERIES_NUMBER = 9002
_SERIES_DESCRIPTION = "AI report - RESEARCH, not for diagnosis"
_SOP_CLASSES = {
    ResultKind.REPORT: ComprehensiveSRStorage,
    ResultKind.REPORT_3D: Comprehensive3DSRStorage,
    ResultKind.REPORT_STONE: ComprehensiveSRStorage,
}


def build(case: Case, kind: ResultKind, secondary_capture: Dataset | None) -> Dataset:
    """A report for each of the four outcomes, in the dialect ``kind``.

    A radiograph has no frame of reference, hence the region of every dialect is one on the image, not in space.
    ``secondary_capture`` is referenced as the Grad-CAM image.
    """
    source = case.source
    comments = [case.intended_use, result_sentence(case.analysis), *remarks(case.analysis)]
    report = envelope(
        case,
        kind,
        sop_class_uid=_SOP_CLASSES[kind],
        modality="SR",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=[*comments, case.feedback_url],
    )
    grad_cam = None if secondary_capture is None else _reference(secondary_capture)
    image = Reference(
        source.study_instance_uid, source.series_instance_uid, source.sop_class_uid, source.sop_instance_uid
    )
    references = [image] if grad_cam is None else [image, grad_cam]
    # Orthanc's Stone viewer draws a region only where this concept names its image; highdicom and others read both.
    region_source = codes.ORIGINAL_SOURCE if kind is ResultKind.REPORT_STONE else codes.SOURCE
    group = measurement_group(case, comments, region_source=region_source, grad_cam=grad_cam)
    add_document(report, references)
    report.update(measurement_report(case.model, [group], [source])[0])
    return report


def add_document(report: Dataset, references: Sequence[Reference]) -> None:
    """SR Document General (PS3.3 C.17.2): complete, preliminary, and verified by nobody."""
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CurrentRequestedProcedureEvidenceSequence = evidence_sequence(references)


def _reference(instance: Dataset) -> Reference:
    return Reference(
        str(instance.StudyInstanceUID),
        str(instance.SeriesInstanceUID),
        str(instance.SOPClassUID),
        str(instance.SOPInstanceUID),
    )
