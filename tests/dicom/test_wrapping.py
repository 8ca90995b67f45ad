"""JPEG and PNG -> DX -> the very pixels."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import FailedForGood
from dicom import gate
from dicom.envelope import write
from dicom.pixels import radiograph
from dicom.wrapping import Wrapping, dx_from_image, image_file_to_dx
from tests.dicom.sources import as_source, clean_dx, ramp
from tests.services import require_images, require_program

ABOUT = Wrapping(patient_id="P-1", taken=datetime(2025, 11, 12, 8, 30), seed="test")  # noqa: DTZ001 - as in DICOM


def errors(content: bytes, folder: Path) -> list[str]:
    path = folder / "wrapped.dcm"
    path.write_bytes(content)
    run = subprocess.run([require_program("dciodvfy"), path], capture_output=True, check=False)
    return [line for line in run.stderr.decode("latin-1").splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.parametrize("view", ["AP", "PA"])
@pytest.mark.parametrize("bits", [8, 16])
def test_dciodvfy_finds_nothing_in_a_wrapped_picture(bits: int, view: str, tmp_path: Path) -> None:
    pixels = ramp(bits, 33, 45).astype(np.uint8 if bits == 8 else np.uint16)
    about = Wrapping(patient_id="P-1", taken=ABOUT.taken, view_position=view, patient_name="Müller^Jörg")
    assert errors(write(dx_from_image(pixels, about)), tmp_path) == []


def test_a_wrapped_picture_passes_the_gate() -> None:
    assert gate.refusals(as_source(clean_dx())) == ()


def test_equal_arguments_with_a_seed_make_equal_bytes_and_without_one_never() -> None:
    pixels = ramp(8).astype(np.uint8)
    assert write(dx_from_image(pixels, ABOUT)) == write(dx_from_image(pixels, ABOUT))
    unseeded = Wrapping(patient_id="P-1", taken=ABOUT.taken)
    first, second = dx_from_image(pixels, unseeded), dx_from_image(pixels, unseeded)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID != second.StudyInstanceUID


def test_two_pictures_can_share_a_study() -> None:
    pixels = ramp(8).astype(np.uint8)
    first = dx_from_image(pixels, ABOUT)
    second = dx_from_image(
        pixels,
        Wrapping(
            patient_id="P-1",
            taken=ABOUT.taken,
            seed="other",
            study_instance_uid=first.StudyInstanceUID,
            instance_number=2,
        ),
    )
    assert second.StudyInstanceUID == first.StudyInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "LA", "P"])
def test_png_comes_back_exactly(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    values = ramp(16 if mode == "I;16" else 8, 31, 47)
    picture = Image.fromarray(values if mode == "I;16" else values.astype(np.uint8))
    (picture if mode == "I;16" else picture.convert(mode)).save(path)
    dataset = image_file_to_dx(path, ABOUT)
    scale = 65535 if mode == "I;16" else 255
    np.testing.assert_array_equal(radiograph(dataset).pixels, (values / scale).astype(np.float32))
    assert dataset.LossyImageCompression == "00"


def test_jpeg_says_that_it_was_lossy(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(ramp(8, 64, 64).astype(np.uint8)).save(path, quality=90)
    dataset = image_file_to_dx(path, ABOUT)
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(dataset.LossyImageCompressionRatio) == pytest.approx(64 * 64 / path.stat().st_size, rel=0.01)
    decoded = np.asarray(Image.open(path).convert("L"))
    np.testing.assert_array_equal(radiograph(dataset).pixels, (decoded / 255).astype(np.float32))
    assert errors(write(dataset), tmp_path) == []


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to see it upright
    Image.fromarray(ramp(8, 20, 40).astype(np.uint8)).save(path, exif=exif)
    dataset = image_file_to_dx(path, ABOUT)
    assert (dataset.Rows, dataset.Columns) == (40, 20)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a" + bytes(40)])
def test_what_is_no_picture_fails_for_good(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(FailedForGood, match="unreadable_image"):
        image_file_to_dx(path, ABOUT)


@pytest.mark.parametrize("pixels", [np.zeros((3, 4)), np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.int16)])
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a radiograph is"):
        dx_from_image(pixels, ABOUT)


def test_real_radiographs_come_back_exactly(tmp_path: Path) -> None:
    folder = require_images() / "chest_xray_fullsize"
    for path in sorted(folder.rglob("*.jp*g"))[::16]:
        decoded = np.asarray(Image.open(path).convert("L"))
        dataset = image_file_to_dx(path, ABOUT)
        np.testing.assert_array_equal(radiograph(dataset).pixels, (decoded / 255).astype(np.float32))
        assert errors(write(dataset), tmp_path) == []
