"""What several images of a study say together, and that silence about one of them never reads as normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from core.records import ResultKind
from dicom import codes, study_summary
from dicom.case import Case
from dicom.envelope import write
from dicom.evidence import Reference, evidence_sequence
from dicom.identity import device_uid, is_own_result, result_uid, tracking_uid
from dicom.reading import SourceImage
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, reread
from tests.dicom.test_report import rendered, texts
from tests.dicom.test_results import INTENDED_USE, dciodvfy

STUDY = "2.25.100"
EARLIER = Reference(STUDY, "2.25.300", ComprehensiveSRStorage, "2.25.301")


@cache
def source(number: int) -> SourceImage:
    dataset = clean_dx(seed=f"image {number}")
    dataset.StudyInstanceUID, dataset.InstanceNumber = STUDY, number
    dataset.ViewPosition = "PA" if number == 1 else "LL"
    return as_source(dataset)


def cases_of(*outcomes: str) -> list[Case]:
    return [
        Case(source(number), ANALYSES[outcome], MODEL, INTENDED_USE, CREATED)
        for number, outcome in enumerate(outcomes, 1)
    ]


def results_about(case: Case) -> list[Reference]:
    def reference(sop_class_uid: str, kind: ResultKind) -> Reference:
        instance = result_uid(case.source.sop_instance_uid, device_uid(case.model), kind)
        return Reference(STUDY, "2.25.200", sop_class_uid, instance)

    return [
        reference(SecondaryCaptureImageStorage, ResultKind.SECONDARY_CAPTURE),
        reference(ComprehensiveSRStorage, ResultKind.REPORT),
        reference("1.2.840.10008.5.1.4.1.1.66.4", ResultKind.SEGMENTATION),
    ]


def summary_of(*outcomes: str, complete: bool = False) -> Dataset:
    """``complete``: with references to results and to an earlier summary."""
    cases = cases_of(*outcomes)
    references = [reference for case in cases for reference in results_about(case)] if complete else []
    return study_summary.build(cases, references=references, predecessor=EARLIER if complete else None)


def overall(document: Dataset) -> tuple[str, Code, Code]:
    """The sentence about the whole study, and its two codes."""
    words = next(item for item in document.ContentSequence if item.name == codes.SUMMARY and "image" in item.TextValue)
    container = next(item for item in document.ContentSequence if item.name == codes.QUALITATIVE_EVALUATIONS)
    presence, run = container.ContentSequence
    assert (presence.name, run.name) == (codes.PNEUMONIA, codes.PROCESSING_SUMMARY)
    return str(words.TextValue), presence.value, run.value


NOTHING = "This says nothing about whether a finding is present or absent"


@pytest.mark.parametrize(
    ("outcomes", "sentence", "presence", "run"),
    [
        (
            ("negative", "positive"),
            "Pneumonia: signs found in 1 of 2 images.",
            codes.PRESENT,
            codes.SUCCEEDED_WITH_FINDINGS,
        ),
        (
            ("positive", "not_analysed", "failed"),
            f"Pneumonia: signs found in 1 of 3 images. 2 of 3 images were not analysed. {NOTHING} there.",
            codes.PRESENT,
            codes.NOT_ALL_SUCCEEDED_WITH_FINDINGS,
        ),
        (
            ("negative", "negative"),
            "Pneumonia: no signs found in any of 2 images.",
            codes.ABSENT,
            codes.SUCCEEDED_WITHOUT_FINDINGS,
        ),
        (
            ("negative", "not_analysed"),
            f"Pneumonia: no signs found in 1 of 2 images. 1 of 2 images was not analysed. {NOTHING} there.",
            codes.UNDETERMINED,
            codes.NOT_ALL_SUCCEEDED_WITHOUT_FINDINGS,
        ),
        (
            ("failed", "not_analysed"),
            f"None of 2 images was analysed. {NOTHING}.",
            codes.UNDETERMINED,
            codes.NONE_SUCCEEDED,
        ),
    ],
    ids=["positive", "positive and silent", "negative", "negative and silent", "silent"],
)
def test_the_study_is_absent_of_a_finding_only_where_every_image_was_judged(
    outcomes: Sequence[str], sentence: str, presence: Code, run: Code, tmp_path: Path
) -> None:
    document = summary_of(*outcomes)
    assert overall(document) == (sentence, presence, run)
    assert dciodvfy(document, tmp_path) == []
    assert sentence in rendered("dsrdump", document, tmp_path, "+Pl")


def test_every_image_is_told_with_number_view_certainty_and_remarks() -> None:
    words = texts(summary_of("positive", "not_analysed"))
    assert "Image 1 of 2 (instance number 1, frontal view). Pneumonia: signs found. The certainty" in words
    assert "Warning age_unknown" in words
    assert "Image 2 of 2 (instance number 2, lateral view). This image was not analysed." in words
    assert "Reason lateral_view" in words


def test_highdicom_reads_a_group_for_each_image() -> None:
    document = summary_of("positive", "negative", "failed")
    content = sr.ComprehensiveSR.from_dataset(reread(write(document))).content
    assert isinstance(content, sr.MeasurementReport)
    groups = content.get_image_measurement_groups()
    expected = [tracking_uid(source(number).sop_instance_uid, device_uid(MODEL), "pneumonia") for number in (1, 2, 3)]
    assert [group.tracking_uid for group in groups] == expected  # the reports' own
    assert [len(group.get_measurements(codes.CERTAINTY_OF_FINDING)) for group in groups] == [1, 1, 0]


def test_the_name_follows_from_what_is_summed_up() -> None:
    cases = cases_of("positive", "negative")
    first = study_summary.build(cases, references=(), predecessor=None)
    again = study_summary.build(list(reversed(cases)), references=(), predecessor=None)
    assert write(again) == write(first)
    grown = summary_of("positive", "negative", "negative")
    assert grown.SOPInstanceUID != first.SOPInstanceUID
    assert grown.SeriesInstanceUID == first.SeriesInstanceUID
    assert (first.InstanceNumber, grown.InstanceNumber) == (2, 3)  # OHIF shows the last of a series
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert is_own_result(reread(write(first)))


def test_references_are_links_and_evidence(tmp_path: Path) -> None:
    cases = cases_of("positive", "not_analysed")
    given = [reference for case in cases for reference in results_about(case)]
    document = study_summary.build(cases, references=given, predecessor=EARLIER)
    read = sr.ComprehensiveSR.from_dataset(reread(write(document)))
    evidence = {str(instance) for _, _, instance, _ in read.get_evidence()}
    assert evidence == {each.sop_instance_uid for each in given} | {case.source.sop_instance_uid for case in cases}
    links = [
        (item.name, item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in document.ContentSequence
        if "ReferencedSOPSequence" in item
    ]
    assert links == [
        (name, reference.sop_instance_uid)
        for reference, name in zip(given, (codes.GRAD_CAM, codes.SOURCE_REPORT, None) * 2, strict=True)
        if name is not None
    ]
    earlier = document.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert earlier.ReferencedSOPInstanceUID == EARLIER.sop_instance_uid
    assert "PredecessorDocumentsSequence" not in summary_of("positive", "negative")
    assert dciodvfy(document, tmp_path) == []


def test_evidence_is_grouped_by_study_and_series_without_repeats() -> None:
    one, two = Reference("1.1", "1.2", "1.3", "1.4"), Reference("1.1", "1.2", "1.3", "1.5")
    other = Reference("1.9", "1.8", "1.3", "1.7")
    first, second = evidence_sequence([one, other, two, one])
    instances = [item.ReferencedSOPInstanceUID for item in first.ReferencedSeriesSequence[0].ReferencedSOPSequence]
    assert (first.StudyInstanceUID, len(first.ReferencedSeriesSequence), instances) == ("1.1", 1, ["1.4", "1.5"])
    assert second.StudyInstanceUID == "1.9"


def test_a_study_given_to_two_models_names_both() -> None:
    old, new = cases_of("negative", "positive")
    retrained = replace(MODEL, digest="cd" * 32)
    new = replace(new, model=retrained, created=CREATED + timedelta(hours=1))
    document = study_summary.build([old, new], references=(), predecessor=None)
    devices = [item.DeviceUID for item in document.ContributingEquipmentSequence]
    assert devices == [device_uid(MODEL), device_uid(retrained)]
    assert document.SoftwareVersions[1] == retrained.digest
    assert document.ContentTime == (CREATED + timedelta(hours=1)).astimezone().strftime("%H%M%S.%f")
    assert document.SOPInstanceUID != summary_of("negative", "positive").SOPInstanceUID


def test_several_studies_are_refused() -> None:
    stranger = Case(as_source(clean_dx(seed="stranger")), ANALYSES["negative"], MODEL, INTENDED_USE, CREATED)
    for cases in ([], [*cases_of("negative"), stranger]):
        with pytest.raises(ValueError, match="images of one study"):
            study_summary.build(cases, references=(), predecessor=None)
