"""Which images the model may judge, as a table, and what it says beside a judgement."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from core.identity import MANUFACTURER, MANUFACTURER_MODEL_NAME
from core.records import Prediction
from dicom import gate, secondary_capture
from dicom.case import Case
from dicom.envelope import code_item, write
from dicom.headers import quietly
from dicom.pixels import Radiograph, radiograph
from dicom.reading import SourceImage
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, picture, ramp, reread

LATERAL_SCT = Code("399067008", "SCT", "lateral")
FRONTAL_SRT = Code("R-10206", "SRT", "antero-posterior")
OBLIQUE_SCT = Code("399182000", "SCT", "oblique")


def silent_dx(**attributes: object) -> Dataset:
    """A DX that says nothing of its view or body part but what is given."""
    dataset = clean_dx(ramp(8, 480, 500).astype(np.uint8))
    for keyword in ("ViewPosition", "ViewCodeSequence", "PatientOrientation", "SeriesDescription",
                    "BodyPartExamined", "AnatomicRegionSequence"):  # fmt: skip
        delattr(dataset, keyword)
    for keyword, value in attributes.items():
        with quietly():
            setattr(dataset, keyword, [code_item(value)] if isinstance(value, Code) else value)
    return dataset


def refusals(dataset: Dataset) -> list[str]:
    with quietly():  # pydicom minds the values when it writes them
        source = as_source(dataset)
    return [finding.code for finding in gate.refusals(source)]


def warnings(dataset: Dataset) -> list[str]:
    with quietly():
        source = as_source(dataset)
    return [finding.code for finding in gate.warnings(source, radiograph(source.dataset))]


def test_a_clean_radiograph_passes_without_a_word() -> None:
    assert refusals(clean_dx()) == []
    assert warnings(clean_dx()) == []


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, ["not_a_radiograph"]),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2"}, ["not_a_radiograph"]),
        ({"Modality": "MG"}, ["not_a_radiograph"]),
        ({"Modality": "PX"}, ["not_a_radiograph"]),
        ({"Modality": "dx"}, []),
        ({"Modality": ""}, []),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR"}, []),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, ["secondary_capture"]),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, ["secondary_capture"]),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, ["for_processing"]),
        ({"PresentationIntentType": "FOR PROCESSING"}, ["for_processing"]),
        ({"NumberOfFrames": 2}, ["multi_frame"]),
        ({"NumberOfFrames": 1}, []),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, ["colour"]),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, ["colour"]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, []),
        ({"BurnedInAnnotation": "YES"}, ["burned_in_annotation"]),
        ({"BurnedInAnnotation": "YES", "ViewPosition": "LL"}, ["burned_in_annotation", "lateral_view"]),
        ({"Manufacturer": MANUFACTURER, "ManufacturerModelName": MANUFACTURER_MODEL_NAME}, ["own_result"]),
    ],
)
def test_kinds_of_image(attributes: dict[str, object], expected: list[str]) -> None:
    dataset = clean_dx()
    with quietly():
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    assert refusals(dataset) == expected


@pytest.mark.parametrize(
    ("attributes", "refused", "warned"),
    [
        ({"ViewPosition": "PA"}, [], []),
        ({"ViewPosition": "ap "}, [], []),
        ({"ViewPosition": "LL"}, ["lateral_view"], []),
        ({"ViewPosition": "LATERAL"}, ["lateral_view"], []),
        ({"ViewPosition": "RLD"}, ["unsupported_view"], []),
        ({"ViewPosition": "LLO"}, ["unsupported_view"], []),
        ({"ViewPosition": "WHATEVER"}, [], ["view_unknown"]),
        ({}, [], ["view_unknown"]),
        ({"ViewCodeSequence": LATERAL_SCT}, ["lateral_view"], []),
        ({"ViewCodeSequence": FRONTAL_SRT}, [], []),
        ({"ViewCodeSequence": OBLIQUE_SCT}, ["unsupported_view"], []),
        ({"PatientOrientation": ["L", "F"]}, [], []),
        ({"PatientOrientation": ["A", "F"]}, ["lateral_view"], []),
        ({"PatientOrientation": ["P", "H"]}, ["lateral_view"], []),
        ({"PatientOrientation": ["L", "P"]}, ["unsupported_view"], []),
        ({"PatientOrientation": ["R", "F"]}, [], ["unusual_orientation"]),
        ({"PatientOrientation": ["F", "L"]}, [], ["unusual_orientation"]),
        ({"PatientOrientation": ["L", "X"]}, [], ["view_unknown"]),
        ({"PatientOrientation": ["L", "R"]}, [], ["view_unknown"]),
        ({"SeriesDescription": "Thorax seitlich"}, ["lateral_view"], []),
        ({"SeriesDescription": "Chest P.A."}, [], []),
        ({"SeriesDescription": "Chest PA/LAT"}, [], ["view_unknown"]),
        ({"ProtocolName": "CHEST_LAT"}, ["lateral_view"], []),
        ({"StudyDescription": "Chest lateral"}, [], ["view_unknown"]),  # of the study, not of this image
        ({"ViewPosition": "PA", "SeriesDescription": "Chest lateral"}, [], ["view_contradicted"]),
        ({"ViewPosition": "LL", "PatientOrientation": ["L", "F"]}, ["lateral_view"], []),
    ],
)
def test_views(attributes: dict[str, object], refused: list[str], warned: list[str]) -> None:
    dataset = silent_dx(BodyPartExamined="CHEST", **attributes)
    assert refusals(dataset) == refused
    if not refused:
        assert warnings(dataset) == warned


@pytest.mark.parametrize(
    ("attributes", "refused", "warned"),
    [
        ({"BodyPartExamined": "CHEST"}, [], []),
        ({"BodyPartExamined": "Thorax"}, [], []),
        ({"BodyPartExamined": "PORT CHEST"}, [], []),
        ({"BodyPartExamined": "HAND"}, ["wrong_body_part"], []),
        ({"BodyPartExamined": "ABDOMEN"}, ["wrong_body_part"], []),
        ({"BodyPartExamined": "CHEST ABDOMEN"}, ["wrong_body_part"], []),
        ({"BodyPartExamined": "TSPINE"}, ["wrong_body_part"], []),
        ({"BodyPartExamined": ""}, [], ["body_part_unknown"]),
        ({"BodyPartExamined": "UNKNOWN"}, [], ["body_part_unknown"]),
        ({}, [], ["body_part_unknown"]),
        ({"AnatomicRegionSequence": Code("51185008", "SCT", "Chest")}, [], []),
        ({"AnatomicRegionSequence": Code("T-D3000", "SRT", "Chest")}, [], []),
        ({"AnatomicRegionSequence": Code("85562004", "SCT", "Hand")}, ["wrong_body_part"], []),
        ({"SeriesDescription": "Torax AP"}, [], []),
        ({"StudyDescription": "Left knee"}, ["wrong_body_part"], []),
        ({"StudyDescription": "Chest and abdomen"}, [], ["body_part_unknown"]),
    ],
)
def test_body_parts(attributes: dict[str, object], refused: list[str], warned: list[str]) -> None:
    dataset = silent_dx(ViewPosition="AP", **attributes)
    assert refusals(dataset) == refused
    if not refused:
        assert warnings(dataset) == warned


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("001Y", []),
        ("005Y", []),
        ("071M", []),
        ("006Y", ["age_outside_training_population"]),
        ("011M", ["age_outside_training_population"]),
        ("064Y", ["age_outside_training_population"]),
        ("", ["age_unknown"]),
    ],
)
def test_ages(age: str, expected: list[str]) -> None:
    dataset = clean_dx()
    dataset.PatientAge = age
    if not age:
        dataset.PatientBirthDate = ""
    assert warnings(dataset) == expected


def test_small_and_flat_pictures_are_warned_of() -> None:
    source = as_source(clean_dx())
    assert _picture_codes(source, ramp(8, 480, 500) / 255) == []
    assert _picture_codes(source, ramp(8, 300, 500) / 255) == ["low_resolution"]
    assert _picture_codes(source, 0.4 + ramp(8, 480, 500) / 255 / 5) == ["low_contrast"]


def _picture_codes(source: SourceImage, pixels: np.ndarray) -> list[str]:
    return [finding.code for finding in gate.warnings(source, Radiograph(pixels.astype(np.float32), "none", ()))]


def test_a_guessed_window_is_among_the_warnings() -> None:
    dataset = clean_dx(ramp(12, 480, 500))
    del dataset.WindowCenter
    assert warnings(dataset) == ["window_guessed"]


@pytest.mark.parametrize(
    ("probability", "threshold", "near"),
    [(0.45, 0.5, True), (0.3, 0.5, False), (0.85, 0.9, True), (0.994, 0.9, False), (1.0, 0.9, False)],
)
def test_a_probability_near_the_threshold(probability: float, threshold: float, near: bool) -> None:
    found = gate.near_threshold(Prediction("pneumonia", probability, threshold), 2.0)
    assert [finding.code for finding in found] == (["near_threshold"] if near else [])


def test_our_own_picture_coming_back_is_known_and_what_was_made_from_it_too() -> None:
    case = Case(as_source(clean_dx()), ANALYSES["positive"], MODEL, "TEST", CREATED)
    capture = secondary_capture.build(case, picture())
    assert refusals(reread(write(capture))) == ["own_result"]
    copy = clean_dx()
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = f"{MANUFACTURER} ", MANUFACTURER_MODEL_NAME
    copy.ContributingEquipmentSequence = [item]
    assert refusals(copy) == ["own_result"]


def test_details_say_nothing_about_the_patient() -> None:
    dataset = silent_dx(ViewPosition="LL", BodyPartExamined="SECRET")
    dataset.PatientAge = "077Y"
    source = as_source(dataset)
    said = [*gate.refusals(source), *gate.warnings(source, radiograph(source.dataset))]
    assert not any(secret in finding.detail for finding in said for secret in ("SECRET", "77", "Nobody"))
