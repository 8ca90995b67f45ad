"""The report in every dialect and outcome, held against dciodvfy, DCMTK and highdicom."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from core.records import REPORT_KINDS, Analysis, Finding, Outcome, Prediction, Region, ResultKind
from dicom import codes, report, secondary_capture
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import device_uid, is_own_result, tracking_uid
from dicom.report_content import Group
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, picture, reread
from tests.dicom.test_results import INTENDED_USE, NAMES, SOURCES, dciodvfy
from tests.services import require_program

REGION = Region(((100.0, 120.0), (300.5, 120.0), (250.0, 444.25)))
LIMITED = replace(
    ANALYSES["negative"],
    warnings=(Finding("low_resolution", "few pixels"), Finding("low_contrast"), Finding("near_threshold")),
)
BLANK = Analysis(Outcome.NOT_ANALYSED, reasons=(Finding("blank_image", "every pixel has the same value"),))
LOST = Analysis(Outcome.FAILED, reasons=(Finding("worker_lost"),))
ETIOLOGY = Analysis(
    Outcome.POSITIVE, Prediction("pneumonia", 0.873, 0.5, (("normal", 0.127), ("bacterial", 0.6), ("viral", 0.273)))
)


def report_of(
    source: str = "clean",
    analysis: Analysis = ANALYSES["positive"],
    kind: ResultKind = ResultKind.REPORT,
    *,
    region: bool = True,
) -> Dataset:
    positive = analysis.outcome is Outcome.POSITIVE
    case = Case(SOURCES[source], analysis, MODEL, INTENDED_USE, CREATED, REGION if region and positive else None)
    capture = secondary_capture.build(case, picture()) if analysis.prediction else None
    return report.build(case, kind, capture)


def opened(document: Dataset) -> Group:
    """The only measurement group, as highdicom reads it from the file."""
    again = reread(write(document))
    three_dimensional = again.SOPClassUID == Comprehensive3DSRStorage
    content = (sr.Comprehensive3DSR if three_dimensional else sr.ComprehensiveSR).from_dataset(again).content
    assert isinstance(content, sr.MeasurementReport)
    groups: list[Group] = [*content.get_image_measurement_groups(), *content.get_planar_roi_measurement_groups()]
    assert len(groups) == 1
    return groups[0]


def rendered(program: str, document: Dataset, folder: Path, *options: str) -> str:
    """What DCMTK shows of a report; refuses a report that DCMTK finds fault with."""
    path = folder / "report.dcm"
    path.write_bytes(write(document))
    run = subprocess.run([require_program(program), *options, path], capture_output=True, check=True)
    assert b"E: " not in run.stderr
    return run.stdout.decode("latin-1")


@pytest.mark.parametrize("source", SOURCES)
def test_dciodvfy_and_dcmtk_find_nothing_in_any_outcome(source: str, tmp_path: Path) -> None:
    known = source != "private class"  # which is never judged, and DCMTK refuses references to it
    for analysis in ANALYSES.values():
        document = report_of(source, analysis, region=known)
        assert dciodvfy(document, tmp_path) == []
        if known:
            assert INTENDED_USE in rendered("dsrdump", document, tmp_path, "+Pl")
            if source != "korean":  # DCMTK knows no HTML name of that character set
                assert INTENDED_USE in rendered("dsr2html", document, tmp_path)


@pytest.mark.parametrize("kind", REPORT_KINDS)
def test_every_dialect_renders(kind: ResultKind, tmp_path: Path) -> None:
    for analysis in (ANALYSES["positive"], BLANK, LOST, LIMITED):
        document = report_of("clean", analysis, kind)
        assert dciodvfy(document, tmp_path) == []
        assert INTENDED_USE in rendered("dsrdump", document, tmp_path, "+Pl")
        assert INTENDED_USE in rendered("dsr2html", document, tmp_path)


@pytest.mark.parametrize("outcome", ANALYSES)
def test_highdicom_reads_the_report_back(outcome: str) -> None:
    source, analysis = SOURCES["clean"], ANALYSES[outcome]
    group = opened(report_of("clean", analysis, region=False))
    assert isinstance(group, sr.MeasurementsAndQualitativeEvaluations)
    assert group.finding_type == codes.PNEUMONIA
    assert group.tracking_uid == tracking_uid(source.sop_instance_uid, device_uid(MODEL), "pneumonia")
    assert group.source_images[0].referenced_sop_instance_uid == source.sop_instance_uid
    expected = {
        Outcome.POSITIVE: (codes.PRESENT, codes.SUCCEEDED_WITH_FINDINGS, codes.SUCCEEDED),
        Outcome.NEGATIVE: (codes.ABSENT, codes.SUCCEEDED_WITHOUT_FINDINGS, codes.SUCCEEDED),
        Outcome.NOT_ANALYSED: (codes.UNDETERMINED, codes.NONE_SUCCEEDED, codes.NOT_ATTEMPTED),
        Outcome.FAILED: (codes.UNDETERMINED, codes.NONE_SUCCEEDED, codes.ANALYSIS_FAILED),
    }[analysis.outcome]
    names = (codes.PNEUMONIA, codes.PROCESSING_SUMMARY, codes.SUMMARY_OF_ANALYSES)
    assert tuple(said(group, name)[0] for name in names) == expected
    if analysis.prediction is None:
        assert group.get_measurements() == []
    else:
        certainty, threshold = group.get_measurements()
        assert certainty.name == codes.CERTAINTY_OF_FINDING
        assert threshold.name == codes.THRESHOLD_VALUE
        assert certainty.unit == threshold.unit == codes.PERCENT
        assert certainty.value == pytest.approx(100 * analysis.prediction.probability)
        assert threshold.value == pytest.approx(100 * analysis.prediction.threshold)


def said(group: Group, name: Code) -> list[object]:
    return [item.value for item in group.get_qualitative_evaluations(name)]


@pytest.mark.parametrize("kind", REPORT_KINDS)
def test_the_region_lies_on_the_source_image(kind: ResultKind) -> None:
    source, document = SOURCES["clean"], report_of(kind=kind)
    group = opened(document)
    assert isinstance(group, sr.PlanarROIMeasurementsAndQualitativeEvaluations)
    assert group[0].ContentTemplateSequence[0].TemplateIdentifier == "1410"
    region = next(item for item in group[0].ContentSequence if item.name.value == "111030")
    assert (region.ValueType, region.GraphicType) == ("SCOORD", "POLYLINE")
    np.testing.assert_array_equal(np.reshape(region.GraphicData, (-1, 2)), [*REGION.points, REGION.points[0]])
    (image,) = region.ContentSequence
    assert image.RelationshipType == "SELECTED FROM"
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.sop_instance_uid
    # Stone draws nothing where the image is named otherwise.
    expected = codes.ORIGINAL_SOURCE if kind is ResultKind.REPORT_STONE else codes.SOURCE
    assert image.name == expected


def test_dialects_are_three_objects_of_two_classes() -> None:
    documents = {kind: report_of(kind=kind) for kind in REPORT_KINDS}
    assert len({document.SOPInstanceUID for document in documents.values()}) == 3
    assert len({document.SeriesInstanceUID for document in documents.values()}) == 3
    assert {kind: document.SOPClassUID for kind, document in documents.items()} == {
        ResultKind.REPORT: ComprehensiveSRStorage,
        ResultKind.REPORT_3D: Comprehensive3DSRStorage,
        ResultKind.REPORT_STONE: ComprehensiveSRStorage,
    }
    for document in documents.values():
        assert document.file_meta.MediaStorageSOPClassUID == document.SOPClassUID
        assert is_own_result(reread(write(document)))


def test_quality_and_failures_are_coded_once_and_the_rest_stays_words() -> None:
    limited = opened(report_of("clean", LIMITED))
    assert said(limited, codes.QUALITY_ASSESSMENT) == [codes.LIMITED_QUALITY]
    assert "Warning near_threshold" in texts(report_of("clean", LIMITED))
    blank = opened(report_of("clean", BLANK))
    assert said(blank, codes.QUALITY_ASSESSMENT) == [codes.NON_DIAGNOSTIC_QUALITY]
    assert said(blank, codes.QUALITY_FINDING) == [codes.NO_IMAGE]
    lost = opened(report_of("clean", LOST))
    assert said(lost, codes.QUALITY_FINDING) == [codes.SOFTWARE_FAILURE]
    fine = opened(report_of("clean", ANALYSES["negative"]))
    assert said(fine, codes.QUALITY_ASSESSMENT) == []  # nobody looked for what makes an image diagnostic


def test_kinds_of_the_finding_are_told_in_words() -> None:
    assert "The model's classes: normal 12.7 %, bacterial 60.0 %, viral 27.3 %." in texts(report_of("clean", ETIOLOGY))
    assert "classes" not in texts(report_of())


@pytest.mark.parametrize(("position", "expected"), [("PA", codes.FRONTAL), ("LL", codes.LATERAL), ("RAO", None)])
def test_the_image_library_tells_the_view(position: str, expected: Code | None) -> None:
    dataset = clean_dx()
    dataset.ViewPosition = position
    case = Case(as_source(dataset), ANALYSES["not_analysed"], MODEL, INTENDED_USE, CREATED)
    document = report.build(case, ResultKind.REPORT, None)
    library = next(item for item in document.ContentSequence if item.name == codes.IMAGE_LIBRARY)
    (entry,) = library.ContentSequence[0].ContentSequence
    views = [item.value for item in entry.get("ContentSequence", []) if item.name == codes.IMAGE_VIEW]
    assert views == ([] if expected is None else [expected])


@pytest.mark.parametrize("outcome", ANALYSES)
def test_a_report_says_why_in_words_and_codes(outcome: str) -> None:
    analysis = ANALYSES[outcome]
    words = texts(report_of("clean", analysis))
    assert INTENDED_USE in words
    for finding in (*analysis.reasons, *analysis.warnings):
        assert finding.code in words
        assert finding.detail in words
    assert ("says nothing about whether" in words) == (analysis.prediction is None)


def texts(item: Dataset) -> str:
    own = [str(item.TextValue)] if "TextValue" in item else []
    return " | ".join([*own, *filter(None, map(texts, item.get("ContentSequence", [])))])


def test_the_words_come_first_and_the_measurements_last() -> None:
    document = report_of()
    assert document.ContentSequence[-1].name.value == "126010"
    group = document.ContentSequence[-1].ContentSequence[0].ContentSequence
    assert group[2].TextValue == INTENDED_USE
    assert str(group[3].TextValue).startswith("Pneumonia: signs found")


def test_evidence_names_every_image_the_content_refers_to() -> None:
    source = SOURCES["clean"]
    for outcome, analysis in ANALYSES.items():
        document = sr.ComprehensiveSR.from_dataset(reread(write(report_of("clean", analysis))))
        evidence = {str(instance) for _, _, instance, _ in document.get_evidence()}
        expected = {source.sop_instance_uid}
        if analysis.prediction:
            case = Case(source, analysis, MODEL, INTENDED_USE, CREATED)
            expected.add(str(secondary_capture.build(case, picture()).SOPInstanceUID))
        assert evidence == expected, outcome


@pytest.mark.parametrize("language", NAMES)
def test_names_survive_in_every_character_set(language: str) -> None:
    character_set, name = NAMES[language]
    again = reread(write(report_of(language)))
    assert str(again.PatientName) == name
    assert again.SpecificCharacterSet == (character_set or "ISO_IR 192")


def test_a_character_set_that_cannot_hold_our_words_gives_way_to_utf_8() -> None:
    case = Case(SOURCES["cyrillic"], ANALYSES["negative"], MODEL, "Für Forschung, 研究", CREATED)
    again = reread(write(report.build(case, ResultKind.REPORT, None)))
    assert again.SpecificCharacterSet == "ISO_IR 192"
    assert str(again.PatientName) == NAMES["cyrillic"][1]
