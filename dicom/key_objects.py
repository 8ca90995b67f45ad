"""Key Object Selection Documents (PS3.3 A.35.4, TID 2010): what belongs together, and what is withdrawn."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
)

from core.records import ResultKind
from dicom import codes
from dicom.case import Case
from dicom.envelope import code_item, envelope
from dicom.evidence import Reference, evidence_sequence
from dicom.identity import derived_uid, device_uid
from dicom.observation import observed_by

SERIES_NUMBER = 9011
REJECTION_SERIES_NUMBER = 9012

_SERIES_DESCRIPTION = "AI key objects - RESEARCH, not for diagnosis"
_REJECTION_SERIES_DESCRIPTION = "AI results withdrawn - RESEARCH, not for diagnosis"
_WITHDRAWN = "These AI results are withdrawn. They must not be used."
# Of what we make and refer to; everything else a study of ours holds is an image.
_NO_IMAGES = frozenset({
    Comprehensive3DSRStorage, ComprehensiveSRStorage, EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage, KeyObjectSelectionDocumentStorage,
})  # fmt: skip


def build(case: Case, references: Sequence[Reference], *, description: str) -> Dataset:
    """The results of a study, and the images they are about, under the title "Of Interest".

    Raises:
        ValueError: no reference, or one into another study.
    """
    return _document(
        case,
        ResultKind.KEY_OBJECTS,
        references,
        title=codes.OF_INTEREST,
        description=description,
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
    )


def rejection_note(case: Case, references: Sequence[Reference], *, title: Code) -> Dataset:
    """Tells an archive to hide or drop results it has (IHE RAD-66). ``title``: why, a rejection of CID 7010.

    Raises:
        ValueError: no reference, or one into another study.
    """
    return _document(
        case,
        ResultKind.REJECTION_NOTE,
        references,
        title=title,
        description=_WITHDRAWN,
        series_number=REJECTION_SERIES_NUMBER,
        series_description=_REJECTION_SERIES_DESCRIPTION,
    )


def _document(
    case: Case,
    kind: ResultKind,
    references: Sequence[Reference],
    *,
    title: Code,
    description: str,
    series_number: int,
    series_description: str,
) -> Dataset:
    # PS3.3 C.17.6.2: references into several studies would need Identical Documents in each of them.
    if {reference.study_instance_uid for reference in references} != {case.source.study_instance_uid}:
        raise ValueError("key objects are of the case's own study, at least one")
    document = envelope(
        case,
        kind,
        sop_class_uid=KeyObjectSelectionDocumentStorage,
        modality="KO",
        series_number=series_number,
        series_description=series_description,
        texts=[description],
    )
    referenced = sorted({reference.sop_instance_uid for reference in references})
    uid = UID(derived_uid(kind, case.source.study_instance_uid, device_uid(case.model), title.value, *referenced))
    document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = uid
    document.InstanceNumber = len(referenced)  # a study's selections grow
    document.ReferencedPerformedProcedureStepSequence = []
    document.CurrentRequestedProcedureEvidenceSequence = evidence_sequence(references)

    # PS3.3 C.17.3 with TID 2010
    document.ValueType = "CONTAINER"
    document.ConceptNameCodeSequence = [code_item(title)]
    document.ContinuityOfContent = "SEPARATE"
    document.ContentTemplateSequence = [_template()]
    document.ContentSequence = [
        *observed_by(case.model),
        _text(description),
        *(_object(reference) for reference in dict.fromkeys(references)),
    ]
    return document


def _template() -> Dataset:
    item = Dataset()
    item.MappingResource = "DCMR"
    item.TemplateIdentifier = "2010"
    return item


def _text(value: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [code_item(codes.KEY_OBJECT_DESCRIPTION)]
    item.TextValue = value
    return item


def _object(reference: Reference) -> Dataset:
    """TID 2010 rows 7 to 9 name no concept."""
    instance = Dataset()
    instance.ReferencedSOPClassUID = reference.sop_class_uid
    instance.ReferencedSOPInstanceUID = reference.sop_instance_uid
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "COMPOSITE" if reference.sop_class_uid in _NO_IMAGES else "IMAGE"
    item.ReferencedSOPSequence = [instance]
    return item
