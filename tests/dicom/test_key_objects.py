"""Key objects and rejection notes, held against dciodvfy and PixelMed's validator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage

from dicom import codes, key_objects
from dicom.case import Case
from dicom.envelope import write
from dicom.evidence import Reference
from dicom.identity import device_uid, is_own_result
from tests.dicom import pixelmed
from tests.dicom.sources import ANALYSES, CREATED, MODEL, reread
from tests.dicom.test_results import INTENDED_USE, SOURCES, dciodvfy

DESCRIPTION = "What the AI found in this study"
TITLES = (codes.REJECTED_FOR_QUALITY_REASONS, codes.REJECTED_FOR_PATIENT_SAFETY_REASONS)


def case_of(source: str = "clean") -> Case:
    return Case(SOURCES[source], ANALYSES["positive"], MODEL, INTENDED_USE, CREATED)


def references_of(case: Case) -> list[Reference]:
    source = case.source
    study = source.study_instance_uid
    return [
        Reference(study, source.series_instance_uid, source.sop_class_uid, source.sop_instance_uid),
        Reference(study, "2.25.1", SecondaryCaptureImageStorage, "2.25.11"),
        Reference(study, "2.25.2", ComprehensiveSRStorage, "2.25.21"),
        Reference(study, "2.25.3", GrayscaleSoftcopyPresentationStateStorage, "2.25.31"),
    ]


def test_dciodvfy_and_pixelmed_find_no_error(tmp_path: Path) -> None:
    documents = {}
    for source in ("clean", "dirty", "japanese"):
        case = case_of(source)
        references = references_of(case)
        documents[source] = key_objects.build(case, references, description=DESCRIPTION)
        for title in TITLES:
            documents[f"{source}: {title.meaning}"] = key_objects.rejection_note(case, references[1:], title=title)
    for document in documents.values():
        assert dciodvfy(document, tmp_path) == []
    for name, lines in pixelmed.validate(documents, tmp_path).items():
        assert any("TID_2010" in line for line in lines), name
        assert not [line for line in lines if "Error" in line], name


def contained(document: Dataset) -> list[Dataset]:
    """The content without who observed it."""
    return [item for item in document.ContentSequence if item.RelationshipType == "CONTAINS"]


def test_what_is_referenced_stands_in_the_content_and_the_evidence() -> None:
    case = case_of()
    references = references_of(case)
    document = reread(write(key_objects.build(case, [*references, references[0]], description=DESCRIPTION)))
    words, *objects = contained(document)
    assert words.TextValue == DESCRIPTION
    assert [item.ValueType for item in objects] == ["IMAGE", "IMAGE", "COMPOSITE", "COMPOSITE"]
    assert not any("ConceptNameCodeSequence" in item for item in objects)
    named = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in objects]
    assert named == [reference.sop_instance_uid for reference in references]
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    evidence = [
        (series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert evidence == [(reference.series_instance_uid, reference.sop_instance_uid) for reference in references]
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert is_own_result(document)


def test_a_note_says_why_and_that_nobody_may_use_what_it_names() -> None:
    case = case_of()
    note = key_objects.rejection_note(case, references_of(case)[1:], title=codes.REJECTED_FOR_PATIENT_SAFETY_REASONS)
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert "withdrawn" in contained(note)[0].TextValue
    observers = [item.UID for item in note.ContentSequence if item.ValueType == "UIDREF"]
    assert observers == [device_uid(case.model)]
    assert case.source.sop_instance_uid not in str(note.ContentSequence)


def test_identity_follows_what_is_said_of_which_instances() -> None:
    case = case_of()
    references = references_of(case)
    first = key_objects.build(case, references, description=DESCRIPTION)
    again = key_objects.build(case, references, description=DESCRIPTION)
    backwards = key_objects.build(case, references[::-1], description=DESCRIPTION)
    assert write(first) == write(again)
    assert backwards.SOPInstanceUID == first.SOPInstanceUID
    others = [
        key_objects.build(case, references[1:], description=DESCRIPTION),
        key_objects.build(replace(case, model=replace(MODEL, version="2")), references, description=DESCRIPTION),
        *(key_objects.rejection_note(case, references, title=title) for title in TITLES),
    ]
    assert len({first.SOPInstanceUID, *(other.SOPInstanceUID for other in others)}) == 5
    assert {others[0].SeriesInstanceUID, first.SeriesInstanceUID} == {first.SeriesInstanceUID}
    assert others[-1].SeriesInstanceUID != first.SeriesInstanceUID


def test_other_studies_are_refused() -> None:
    case = case_of()
    stranger = replace(references_of(case)[0], study_instance_uid="2.25.9")
    for references in ([], [stranger], [*references_of(case), stranger]):
        with pytest.raises(ValueError, match="own study"):
            key_objects.build(case, references, description=DESCRIPTION)
