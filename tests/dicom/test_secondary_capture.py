"""What a Secondary Capture's own attributes say; its validity is held against dciodvfy in ``test_results``."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom import secondary_capture
from dicom.case import Case
from dicom.envelope import write
from tests.dicom.sources import ANALYSES, CREATED, MODEL, as_source, clean_dx, picture
from tests.services import require_program

INTENDED_USE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
CASE = Case(as_source(clean_dx()), ANALYSES["positive"], MODEL, INTENDED_USE, CREATED)


@pytest.mark.parametrize("height", [691, 1024])
def test_a_page_is_valid_and_as_large_as_its_pixels(height: int, tmp_path: Path) -> None:
    path = tmp_path / "page.dcm"
    path.write_bytes(write(secondary_capture.build(CASE, picture(height, 1280))))
    assert path.stat().st_size - height * 1280 * 3 < 8192
    run = subprocess.run([require_program("dciodvfy"), path], capture_output=True, check=False)
    assert b"Error" not in run.stderr


def test_another_toolkit_shows_the_same_page(tmp_path: Path) -> None:
    pixels, stored, shown = picture(301, 1280), tmp_path / "page.dcm", tmp_path / "page.ppm"
    stored.write_bytes(write(secondary_capture.build(CASE, pixels)))
    subprocess.run([require_program("dcmj2pnm"), "+op", stored, shown], check=True, capture_output=True)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(shown.read_bytes()))), pixels)


def test_it_says_what_it_is_and_whence() -> None:
    capture = secondary_capture.build(CASE, picture())
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY", "OTHER", "AI_OVERLAY"]
    assert "beside itself" in capture.DerivationDescription
    assert INTENDED_USE in capture.DerivationDescription
    assert INTENDED_USE in capture.ImageComments
    assert capture.PatientOrientation == ""  # a viewer that drew its own letters would draw them over both films
    assert "PixelSpacing" not in capture  # two films and text: nothing can be measured on it
    reference = capture.SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == CASE.source.sop_instance_uid
