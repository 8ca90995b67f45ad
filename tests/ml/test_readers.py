"""The three public forms of the data, each in files written here as their publishers write them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from core.errors import ConfigurationError
from ml.data import split_by_patient
from ml.readers import patient_of, read_samples
from tests.services import require_images


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1000_bacteria_2931.jpeg", "person1000"),
        ("person1000_virus_12_3.jpeg", "person1000"),
        ("IM-0115-0001.jpeg", "im-0115"),
        ("IM-0608-0001-0001.jpeg", "im-0608"),
        ("NORMAL2-IM-0383-0001.jpeg", "normal2-im-0383"),
        ("NORMAL2-IM-0115-0001.jpeg", "normal2-im-0115"),
        ("somebody.png", "somebody"),
    ],
)
def test_file_names_carry_the_patient(name: str, patient: str) -> None:
    assert patient_of(Path(name)) == patient


def test_class_folders_take_any_size_and_spelling_of_suffix(tmp_path: Path) -> None:
    files = (
        ("NORMAL", "a.JPG", (30, 50)),
        ("NORMAL", "b.Png", (400, 300)),
        ("PNEUMONIA", "person2_virus_1.jpeg", (9, 9)),
    )
    for folder, name, shape in files:
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full(shape, 51, np.uint8)).save(tmp_path / folder / name)
    (tmp_path / "NORMAL" / "notes.txt").write_text("no image")
    samples = read_samples(tmp_path)
    assert [(s.name, s.label, s.subgroup) for s in samples] == [
        ("a.JPG", 0, ""), ("b.Png", 0, ""), ("person2_virus_1.jpeg", 1, "virus"),
    ]  # fmt: skip
    assert samples[1].read().shape == (400, 300)
    assert samples[1].read() == pytest.approx(0.2)


def test_folders_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NORMAL is missing"):
        read_samples(tmp_path)
    (tmp_path / "NORMAL").mkdir()
    with pytest.raises(ConfigurationError, match="holds no image"):
        read_samples(tmp_path)


def test_the_public_data_split_by_patient() -> None:
    samples = read_samples(require_images() / "chest_xray" / "train")
    assert len(samples) == 5216
    assert {s.subgroup for s in samples if s.label} == {"bacteria", "virus"}
    split = split_by_patient(samples, parts=8, seed=0)
    assert 0.11 < len(split.validation) / len(samples) < 0.14


def _write_medmnist(path: Path, side: int) -> dict[str, npt.NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 7), ("val", 4), ("test", 3)):
        arrays[f"{part}_images"] = generator.integers(0, 256, (n, side, side), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n, dtype=np.uint8) % 2)[:, None]
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own arguments
    return arrays


@pytest.mark.parametrize(("name", "side"), [("pneumoniamnist.npz", 28), ("pneumoniamnist_64.npz", 64)])
def test_medmnist_keeps_the_split_it_was_published_with(tmp_path: Path, name: str, side: int) -> None:
    arrays = _write_medmnist(tmp_path / name, side)
    for data in (tmp_path, tmp_path / name):
        samples = read_samples(data)
        assert [s.part for s in samples] == ["train"] * 7 + ["validation"] * 4 + ["test"] * 3
        assert samples[8].label == 1
        assert samples[8].read() * 255 == pytest.approx(arrays["val_images"][1])
    split = split_by_patient(samples, parts=8, seed=0)
    assert (len(split.train), len(split.validation)) == (7, 4)


def test_medmnist_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"no archive")
    with pytest.raises(ConfigurationError, match="cannot be read as PneumoniaMNIST"):
        read_samples(tmp_path)
    _write_medmnist(tmp_path / "pneumoniamnist_64.npz", 64)
    with pytest.raises(ConfigurationError, match="holds 2 PneumoniaMNIST files"):
        read_samples(tmp_path)
    with pytest.raises(ConfigurationError, match="no file named"):
        read_samples(tmp_path / "breastmnist.npz")


def _write_dicom(path: Path, pixels: npt.NDArray[np.uint8], photometric: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _write_rsna(folder: Path, rows: list[list[str]]) -> None:
    (folder / "stage_2_train_images").mkdir(parents=True)
    with (folder / "stage_2_train_labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["patientId", "x", "y", "width", "height", "Target"], *rows])
    for patient, photometric in (("p-1", "MONOCHROME2"), ("p-2", "MONOCHROME1")):
        pixels = np.full((40, 30), 51, dtype=np.uint8)
        _write_dicom(folder / "stage_2_train_images" / f"{patient}.dcm", pixels, photometric)


def test_rsna_rows_with_boxes_make_one_sample_for_each_patient(tmp_path: Path) -> None:
    boxes = [["p-1", "264.0", "152.0", "213.0", "379.0", "1"], ["p-1", "562.0", "152.0", "256.0", "453.0", "1"]]
    _write_rsna(tmp_path, [*boxes, ["p-2", "", "", "", "", "0"]])
    samples = read_samples(tmp_path)
    assert [(s.name, s.label, s.patient) for s in samples] == [("p-1.dcm", 1, "p-1"), ("p-2.dcm", 0, "p-2")]
    assert samples[0].read().shape == (40, 30)
    assert samples[0].read() == pytest.approx(0.2)
    assert samples[1].read() == pytest.approx(0.8)  # MONOCHROME1: low is white


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["p-3", "", "", "", "", "0"]], "1 of 1 patients .* no .dcm file"),
        ([["p-1", "", "", "", "", "yes"]], "Target must be 0 or 1"),
        ([["p-1", "", "", "", "", "0"], ["p-1", "1", "1", "9", "9", "1"]], "the same in every row"),
    ],
)
def test_rsna_tables_that_cannot_be_used_are_refused(tmp_path: Path, rows: list[list[str]], message: str) -> None:
    _write_rsna(tmp_path, rows)
    with pytest.raises(ConfigurationError, match=message):
        read_samples(tmp_path)


def test_a_damaged_dicom_file_is_a_clear_error(tmp_path: Path) -> None:
    _write_rsna(tmp_path, [["p-1", "", "", "", "", "0"]])
    (tmp_path / "stage_2_train_images" / "p-1.dcm").write_bytes(b"nothing")
    [sample] = read_samples(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read as a radiograph"):
        sample.read()
