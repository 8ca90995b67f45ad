"""Secondary Capture and report, held against dciodvfy, DCMTK, pydicom and highdicom."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from core.records import Outcome, ResultKind
from dicom import codes, report, secondary_capture
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import device_uid, is_own_result, tracking_uid
from dicom.reading import SourceImage
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, dirty_dx, picture, reread
from tests.services import require_program

INTENDED_USE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
NAMES = {
    "latin": ("ISO_IR 100", "Müller^Jörg"),
    "cyrillic": ("ISO_IR 144", "Иванова^Анна"),
    "greek": ("ISO_IR 126", "Παπαδάκης^Άννα"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "utf8": ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    "undeclared": (None, "Müller^Jörg"),
}
INHERITED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
# What dciodvfy of 2022 does not know yet, and what nobody can fill in.
KNOWN_WARNINGS = (
    "(0x0018,0x1002) UI Device UID",  # in Contributing Equipment Sequence since 2021; IHE AIR 6.5.3.1 requires it
    "this is a Standard Extended SOP Class",  # because of it
    "needed to build DICOMDIR",  # Type 2 attributes the source leaves empty
)


def sources() -> dict[str, SourceImage]:
    bare = clean_dx(seed="bare")
    for keyword in (*INHERITED, "InstanceNumber", "PatientOrientation", "Modality"):
        delattr(bare, keyword)
    other_class = clean_dx(seed="private")
    other_class.SOPClassUID = "1.2.826.0.1.3680043.2.1143.1"
    found = {"clean": clean_dx(), "dirty": dirty_dx(), "bare": bare, "private class": other_class}
    for language, (character_set, name) in NAMES.items():
        found[language] = _named(character_set, name)
    return {name: as_source(dataset) for name, dataset in found.items()}


def _named(character_set: str | list[str] | None, name: str) -> Dataset:
    dataset = clean_dx(seed=name)
    if character_set is None:
        del dataset.SpecificCharacterSet
        dataset.PatientName = name.encode("latin-1")
    else:
        dataset.SpecificCharacterSet = character_set
        dataset.PatientName = name
    return reread(write(dataset))


SOURCES = sources()


def capture_of(source: SourceImage, outcome: str = "positive", intended_use: str = INTENDED_USE) -> Dataset:
    return secondary_capture.build(Case(source, ANALYSES[outcome], MODEL, intended_use, CREATED), picture())


def report_of(source: SourceImage, outcome: str = "positive", intended_use: str = INTENDED_USE) -> Dataset:
    analysis = ANALYSES[outcome]
    capture = capture_of(source, outcome) if analysis.prediction else None
    return report.build(Case(source, analysis, MODEL, intended_use, CREATED), ResultKind.REPORT, capture)


def dciodvfy(dataset: Dataset, folder: Path) -> list[str]:
    """Errors, and warnings that are ours to remove."""
    path = folder / "object.dcm"
    path.write_bytes(write(dataset))
    run = subprocess.run([require_program("dciodvfy"), path], capture_output=True, check=False)
    lines = run.stderr.decode("latin-1").splitlines()
    return [
        line
        for line in lines
        if line.startswith("Error")
        or (line.startswith("Warning") and not any(known in line for known in KNOWN_WARNINGS))
    ]


@pytest.mark.parametrize("outcome", ANALYSES)
@pytest.mark.parametrize("source", SOURCES)
def test_dciodvfy_finds_nothing_in_a_report(source: str, outcome: str, tmp_path: Path) -> None:
    assert dciodvfy(report_of(SOURCES[source], outcome), tmp_path) == []


@pytest.mark.parametrize("outcome", ANALYSES)
@pytest.mark.parametrize("source", SOURCES)
def test_dciodvfy_finds_nothing_in_a_secondary_capture(source: str, outcome: str, tmp_path: Path) -> None:
    assert dciodvfy(capture_of(SOURCES[source], outcome), tmp_path) == []


@pytest.mark.parametrize("outcome", ANALYSES)
@pytest.mark.parametrize("source", SOURCES.keys() - {"private class"})  # DCMTK refuses references to classes it lacks
def test_dsrdump_renders_every_report(source: str, outcome: str, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(write(report_of(SOURCES[source], outcome)))
    run = subprocess.run([require_program("dsrdump"), "+Pl", path], capture_output=True, check=True)
    assert INTENDED_USE in run.stdout.decode("latin-1")
    assert b"E: " not in run.stderr


@pytest.mark.parametrize("language", NAMES)
def test_names_survive_in_every_character_set(language: str) -> None:
    character_set, name = NAMES[language]
    for result in (capture_of(SOURCES[language]), report_of(SOURCES[language])):
        again = reread(write(result))
        assert str(again.PatientName) == name
        assert again.SpecificCharacterSet == (character_set or "ISO_IR 192")


def test_a_character_set_that_cannot_hold_our_words_gives_way_to_utf_8() -> None:
    source = SOURCES["cyrillic"]
    again = reread(write(report_of(source, intended_use="Für Forschung, 研究")))
    assert again.SpecificCharacterSet == "ISO_IR 192"
    assert str(again.PatientName) == NAMES["cyrillic"][1]


def test_patient_and_study_are_the_sources() -> None:
    source = SOURCES["clean"]
    for result in (capture_of(source), report_of(source)):
        for keyword in (*INHERITED, "StudyInstanceUID"):
            assert result[keyword].value == source.dataset[keyword].value, keyword


def test_what_is_illegal_in_the_source_is_empty_and_what_is_legal_is_kept() -> None:
    result = report_of(SOURCES["dirty"])
    assert result.PatientID == ""  # "P\\1" is two values; a repaired one might be somebody else's
    assert (result.PatientSex, result.StudyDate, result.StudyTime) == ("", "", "")
    assert (result.AccessionNumber, result.StudyID) == ("", "")
    assert "StudyDescription" not in result
    assert result.PatientName == "Müller^Jörg"
    assert result.InstanceNumber == 1


def test_results_are_preliminary_and_derived_and_name_the_device() -> None:
    source = SOURCES["clean"]
    capture, document = capture_of(source), report_of(source)
    for result in (capture, document):
        algorithm = result.ContributingEquipmentSequence[0]
        assert algorithm.DeviceUID == device_uid(MODEL)
        assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == (MODEL.name, MODEL.version)
        assert len(result.SeriesDescription) <= 64
        assert "not for diagnosis" in result.SeriesDescription
        assert is_own_result(reread(write(result)))
    assert (document.CompletionFlag, document.PreliminaryFlag) == ("COMPLETE", "PRELIMINARY")
    assert document.VerificationFlag == "UNVERIFIED"
    assert (capture.BurnedInAnnotation, capture.ConversionType, capture.Modality) == ("YES", "WSD", "OT")
    assert list(capture.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    reference = capture.SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.sop_instance_uid
    assert reference.SpatialLocationsPreserved == "NO"
    assert capture.SeriesInstanceUID != document.SeriesInstanceUID


@pytest.mark.parametrize("outcome", ANALYSES)
def test_highdicom_reads_the_report_back(outcome: str) -> None:
    source, analysis = SOURCES["clean"], ANALYSES[outcome]
    document = sr.ComprehensiveSR.from_dataset(reread(write(report_of(source, outcome))))
    assert isinstance(document.content, sr.MeasurementReport)
    (group,) = document.content.get_image_measurement_groups()
    assert group.finding_type == codes.PNEUMONIA
    assert group.tracking_uid == tracking_uid(source.sop_instance_uid, device_uid(MODEL), "pneumonia")
    assert group.source_images[0].referenced_sop_instance_uid == source.sop_instance_uid
    (presence,) = group.get_qualitative_evaluations(codes.PNEUMONIA)
    (run,) = group.get_qualitative_evaluations(codes.PROCESSING_SUMMARY)
    expected = {
        Outcome.POSITIVE: (codes.PRESENT, codes.SUCCEEDED_WITH_FINDINGS),
        Outcome.NEGATIVE: (codes.ABSENT, codes.SUCCEEDED_WITHOUT_FINDINGS),
    }.get(analysis.outcome, (codes.UNDETERMINED, codes.NONE_SUCCEEDED))
    assert (presence.value, run.value) == expected
    certainties = group.get_measurements(codes.CERTAINTY_OF_FINDING)
    if analysis.prediction is None:
        assert certainties == []
    else:
        assert certainties[0].unit == codes.PERCENT
        assert certainties[0].value == pytest.approx(100 * analysis.prediction.probability)


@pytest.mark.parametrize("outcome", ANALYSES)
def test_a_report_says_why_in_words_and_codes(outcome: str) -> None:
    analysis = ANALYSES[outcome]
    texts = " | ".join(_texts(report_of(SOURCES["clean"], outcome)))
    assert INTENDED_USE in texts
    for finding in (*analysis.reasons, *analysis.warnings):
        assert finding.code in texts
        assert finding.detail in texts
    assert ("says nothing about whether" in texts) == (analysis.prediction is None)


def _texts(item: Dataset) -> list[str]:
    own = [str(item.TextValue)] if "TextValue" in item else []
    return own + [text for child in item.get("ContentSequence", []) for text in _texts(child)]


def test_evidence_names_every_image_the_content_refers_to() -> None:
    source = SOURCES["clean"]
    for outcome in ANALYSES:
        document = sr.ComprehensiveSR.from_dataset(reread(write(report_of(source, outcome))))
        evidence = {str(instance) for _, _, instance, _ in document.get_evidence()}
        expected = {source.sop_instance_uid}
        if ANALYSES[outcome].prediction:
            expected.add(str(capture_of(source).SOPInstanceUID))
        assert evidence == expected


def test_the_picture_comes_back_as_it_was() -> None:
    case = Case(SOURCES["clean"], ANALYSES["positive"], MODEL, INTENDED_USE, CREATED)
    for shape in ((64, 80), (63, 81)):  # the second has an odd number of bytes
        pixels = picture(*shape)
        capture = secondary_capture.build(case, pixels)
        np.testing.assert_array_equal(reread(write(capture)).pixel_array, pixels)
    with pytest.raises(ValueError, match="a picture is"):
        secondary_capture.build(case, pixels[..., 0])


def test_a_lossy_source_makes_a_lossy_picture() -> None:
    dataset = clean_dx()
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 12.5
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    capture = capture_of(as_source(dataset))
    assert (capture.LossyImageCompression, capture.LossyImageCompressionRatio) == ("01", 12.5)
    assert capture_of(SOURCES["clean"]).LossyImageCompression == "00"
    undeclared = replace(SOURCES["clean"], transfer_syntax_uid=JPEGBaseline8Bit)
    assert capture_of(undeclared).LossyImageCompression == "01"


def test_the_same_analysis_makes_the_same_bytes() -> None:
    source = SOURCES["japanese"]
    assert write(report_of(source)) == write(report_of(source))
    assert write(capture_of(source)) == write(capture_of(source))


def test_another_model_makes_other_instances_in_other_series() -> None:
    source = SOURCES["clean"]
    retrained = replace(MODEL, digest="cd" * 32)
    first = report_of(source)
    second = report.build(Case(source, ANALYSES["negative"], retrained, INTENDED_USE, CREATED), ResultKind.REPORT, None)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_the_time_of_the_analysis_is_the_content_time() -> None:
    document = report_of(SOURCES["clean"])
    local = CREATED.astimezone()
    assert document.ContentDate == local.strftime("%Y%m%d")
    assert document.ContentTime == local.strftime("%H%M%S.%f")


def test_the_source_is_left_alone() -> None:
    source = SOURCES["clean"]
    before = write(source.dataset)
    report_of(source)
    assert write(source.dataset) == before
