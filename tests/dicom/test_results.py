"""The picture, held against dciodvfy and pydicom; what it has in common with the report."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from core.records import ResultKind
from dicom import report, secondary_capture
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import device_uid, is_own_result
from dicom.reading import SourceImage
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, dirty_dx, picture, reread
from tests.services import require_program

INTENDED_USE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
NAMES: dict[str, tuple[str | list[str] | None, str]] = {
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


@pytest.mark.parametrize("source", SOURCES)
def test_dciodvfy_finds_nothing_in_a_secondary_capture(source: str, tmp_path: Path) -> None:
    for outcome in ("positive", "negative"):
        assert dciodvfy(capture_of(SOURCES[source], outcome), tmp_path) == []


@pytest.mark.parametrize("language", NAMES)
def test_names_survive_in_every_character_set(language: str) -> None:
    character_set, name = NAMES[language]
    again = reread(write(capture_of(SOURCES[language])))
    assert str(again.PatientName) == name
    assert again.SpecificCharacterSet == (character_set or "ISO_IR 192")


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
