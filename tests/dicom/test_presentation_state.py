"""The presentation state, held against dciodvfy and DCMTK, which checks it and renders images under it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from core.records import Region
from dicom import presentation_state
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import is_own_result
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, ramp, reread
from tests.dicom.test_results import INTENDED_USE, SOURCES, dciodvfy
from tests.services import require_program

REGION = Region(((10.0, 12.5), (50.0, 12.5), (45.25, 40.0)))


def case_of(source: str = "clean", outcome: str = "positive", region: Region | None = REGION) -> Case:
    return Case(SOURCES[source], ANALYSES[outcome], MODEL, INTENDED_USE, CREATED, region)


@pytest.mark.parametrize("source", ["clean", "dirty", "japanese"])
def test_dciodvfy_and_dcmtk_accept_every_outcome(source: str, tmp_path: Path) -> None:
    for outcome, region in (("positive", REGION), ("positive", None), ("negative", None), ("failed", None)):
        state = presentation_state.build(case_of(source, outcome, region))
        assert dciodvfy(state, tmp_path) == []
        assert "Test passed" in dcmpschk(state, tmp_path)


def dcmpschk(state: Dataset, folder: Path) -> str:
    path = folder / "state.dcm"
    path.write_bytes(write(state))
    return subprocess.run([require_program("dcmpschk"), path], capture_output=True, text=True, check=False).stderr


def test_the_contour_is_closed_and_the_words_stand_in_the_corner() -> None:
    state = reread(write(presentation_state.build(case_of())))
    (annotation,) = state.GraphicAnnotationSequence
    (contour,) = annotation.GraphicObjectSequence
    assert (contour.GraphicType, contour.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    points = list(zip(contour.GraphicData[::2], contour.GraphicData[1::2], strict=True))
    assert points == [*REGION.points, REGION.points[0]]
    assert contour.NumberOfGraphicPoints == 4
    (words,) = annotation.TextObjectSequence
    assert words.BoundingBoxAnnotationUnits == "DISPLAY"
    assert max(words.BoundingBoxBottomRightHandCorner) < 0.41
    for said in (INTENDED_USE, "signs found", "87.3 %", "50.0 %", "mobilenet_v2 1.0.0", "age_unknown"):
        assert said in words.UnformattedTextValue
    assert {annotation.GraphicLayer} == {layer.GraphicLayer for layer in state.GraphicLayerSequence}
    assert state.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner == [500, 480]
    assert is_own_result(state)


def test_without_a_region_there_are_words_alone() -> None:
    state = presentation_state.build(case_of(outcome="negative", region=None))
    assert "GraphicObjectSequence" not in state.GraphicAnnotationSequence[0]
    assert "no signs found" in state.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue


def lut(bits: int, *, as_bytes: bool) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4000, 96, bits])
    data = (np.sqrt(np.linspace(0, 1, 4000)) * (2**bits - 1)).astype("<u2")
    item.add_new("LUTData", "OW" if as_bytes else "US", data.tobytes() if as_bytes else data.tolist())
    return item


LOOKS = {
    "window": {"WindowCenter": [1000, 200], "WindowWidth": [800, 10]},
    "sigmoid": {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 1500, "WindowWidth": 3000},
    "LUT": {"VOILUTSequence": [lut(16, as_bytes=True)]},
    "LUT of numbers": {"VOILUTSequence": [lut(12, as_bytes=False)], "PhotometricInterpretation": "MONOCHROME1"},
    "inverse": {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 1000, "WindowWidth": 800},
    "bare": {},
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_image_looks_as_in_its_own_header(look: str, tmp_path: Path) -> None:
    image = clean_dx(ramp(12), seed=look)
    image.BitsStored, image.HighBit = 12, 11
    for keyword in ("WindowCenter", "WindowWidth", "PresentationLUTShape"):
        image.pop(keyword, None)
    for keyword, value in LOOKS[look].items():
        setattr(image, keyword, value)
    case = Case(as_source(image), ANALYSES["positive"], MODEL, INTENDED_USE, CREATED, REGION)
    state = presentation_state.build(case)
    assert "Test passed" in dcmpschk(state, tmp_path)
    (tmp_path / "image.dcm").write_bytes(write(image))
    with_state = rendered(tmp_path, "--pstate", str(tmp_path / "state.dcm"))
    np.testing.assert_array_equal(with_state, rendered(tmp_path))
    falls = with_state[0, 0] > with_state[-1, -1]
    assert falls == (image.PhotometricInterpretation == "MONOCHROME1")


def rendered(folder: Path, *options: str) -> npt.NDArray[np.uint8]:
    """By DCMTK, which draws no annotations."""
    command = [require_program("dcmp2pgm"), *options, str(folder / "image.dcm"), str(folder / "image.pgm")]
    subprocess.run(command, capture_output=True, check=True)
    with Image.open(folder / "image.pgm") as image:
        return np.asarray(image)


def test_a_signed_lut_keeps_its_first_value(tmp_path: Path) -> None:
    image = clean_dx(ramp(12), seed="signed")
    image.PixelRepresentation = 1
    table = lut(16, as_bytes=True)
    table.add_new("LUTDescriptor", "SS", [4000, -2000, 16])
    image.VOILUTSequence = [table]
    state = presentation_state.build(Case(as_source(image), ANALYSES["positive"], MODEL, INTENDED_USE, CREATED, REGION))
    kept = reread(write(state)).SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(kept.LUTDescriptor) == [4000, -2000, 16]
    assert kept.LUTData == table.LUTData


def test_a_colour_image_gets_no_grey_state() -> None:
    colour = clean_dx(seed="colour")
    colour.SamplesPerPixel, colour.PhotometricInterpretation = 3, "RGB"
    with pytest.raises(ValueError, match="got RGB"):
        presentation_state.build(Case(as_source(colour), ANALYSES["failed"], MODEL, INTENDED_USE, CREATED))


def test_the_same_case_makes_the_same_bytes() -> None:
    assert write(presentation_state.build(case_of("japanese"))) == write(presentation_state.build(case_of("japanese")))
