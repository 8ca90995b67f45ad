"""The three forms that public pneumonia data comes in, each read into the same samples.

- class folders: ``NORMAL/`` and ``PNEUMONIA/`` with JPEG or PNG files (Kermany et al. 2018, doi:10.17632/rscbjbr9sj);
- MedMNIST: ``pneumoniamnist.npz`` or ``pneumoniamnist_64|128|224.npz`` (Yang et al. 2023,
  doi:10.1038/s41597-022-01721-8);
- RSNA Pneumonia Detection Challenge 2018: DICOM files named after the patient, and a csv with ``patientId``, a box and
  ``Target`` in each row (Shih et al. 2019, doi:10.1148/ryai.2019180041).
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import ConfigurationError
from ml.data import CLASSES, Sample
from ml.preprocessing import read_image

SUFFIXES = (".jpg", ".jpeg", ".png")

# File names of "Chest X-Ray Images (Pneumonia)". The same number after IM- and after NORMAL2-IM- may or may not be one
# person; they are taken for two, as the series were collected apart.
_PATIENT = re.compile(r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-", re.IGNORECASE)
_ETIOLOGY = re.compile(r"_(bacteria|virus)_", re.IGNORECASE)
_MEDMNIST = re.compile(r"pneumoniamnist(?:_(\d+))?\.npz")
_MEDMNIST_PARTS = {"train": "train", "val": "validation", "test": "test"}


def read_samples(data: Path) -> list[Sample]:
    """Every sample of ``data``, whichever of the three forms it has.

    Raises:
        ConfigurationError: it has none of them, or holds no image.
    """
    if data.suffix == ".npz" or any(data.glob("pneumoniamnist*.npz")):
        return read_medmnist(data)
    if data.is_dir() and (table := _rsna_table(data)):
        return read_rsna(data, table)
    return read_class_folders(data)


def patient_of(path: Path) -> str:
    """The patient a file name speaks of; a name of another form stands for a patient of its own."""
    match = _PATIENT.match(path.name)
    return (match[1] or match[2]).lower() if match else path.stem


def read_class_folders(folder: Path) -> list[Sample]:
    """Every JPEG and PNG in NORMAL/ and PNEUMONIA/ under ``folder``, in the order of their names.

    Raises:
        ConfigurationError: a class folder is missing or holds no image.
    """
    samples = []
    for label, name in enumerate(CLASSES):
        directory = folder / name
        if not directory.is_dir():
            raise ConfigurationError(
                f"{folder} must hold the folders {' and '.join(CLASSES)} ({name} is missing), "
                "a pneumoniamnist .npz file, or DICOM files with a csv of patientId and Target"
            )
        paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise ConfigurationError(f"{directory} holds no image; expected files ending in {', '.join(SUFFIXES)}")
        for path in paths:
            etiology = _ETIOLOGY.search(path.name)
            subgroup = etiology[1].lower() if etiology and name == "PNEUMONIA" else ""
            samples.append(Sample(path.name, label, patient_of(path), partial(read_image, path), subgroup))
    return samples


def read_medmnist(data: Path) -> list[Sample]:
    """PneumoniaMNIST of any size, with the split it was published with.

    MedMNIST names no patients: each image stands for one, and its authors' split is taken as it is.

    Args:
        data: the .npz file, or a folder that holds one.

    Raises:
        ConfigurationError: no such file, several of them, or one that cannot be read.
    """
    from medmnist import PneumoniaMNIST

    files = [data] if data.suffix == ".npz" else sorted(data.glob("pneumoniamnist*.npz"))
    if len(files) != 1:
        raise ConfigurationError(f"{data} holds {len(files)} PneumoniaMNIST files; name one of them")
    named = _MEDMNIST.fullmatch(files[0].name)
    if named is None or not files[0].is_file():
        raise ConfigurationError(f"{files[0]} is no file named pneumoniamnist.npz or pneumoniamnist_64|128|224.npz")
    samples = []
    for split, part in _MEDMNIST_PARTS.items():
        try:
            dataset = PneumoniaMNIST(split=split, root=str(files[0].parent), size=int(named[1] or 28))
        except (ValueError, KeyError, OSError, RuntimeError, AssertionError) as exc:
            raise ConfigurationError(f"{files[0]} cannot be read as PneumoniaMNIST: {exc}") from exc
        for index, (image, label) in enumerate(zip(dataset.imgs, dataset.labels.ravel(), strict=True)):
            name = f"{split}-{index}"
            samples.append(Sample(name, int(label), name, partial(_scaled, image), part=part))
    return samples


def _scaled(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255.0)


def _rsna_table(folder: Path) -> Path | None:
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            if {"patientId", "Target"} <= set(next(csv.reader(file), [])):
                return path
    return None


def read_rsna(folder: Path, table: Path) -> list[Sample]:
    """One sample for each patient of ``table``; a patient with several boxes has several rows.

    Raises:
        ConfigurationError: a row cannot be read, rows of one patient disagree, or a patient has no DICOM file.
    """
    targets: dict[str, int] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            patient, target = row["patientId"], row["Target"]
            if target not in ("0", "1") or targets.setdefault(patient, int(target)) != int(target):
                raise ConfigurationError(f"{table}: Target must be 0 or 1 and the same in every row of a patient")
    files = {path.stem: path for path in sorted(folder.rglob("*.dcm"))}
    missing = targets.keys() - files.keys()
    if missing:
        raise ConfigurationError(f"{len(missing)} of {len(targets)} patients in {table} have no .dcm file in {folder}")
    return [
        Sample(files[patient].name, target, patient, partial(_read_dicom, files[patient]))
        for patient, target in sorted(targets.items())
    ]


def _read_dicom(path: Path) -> npt.NDArray[np.float32]:
    """The challenge's files are 8-bit; others are scaled by the bits they store."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        dataset = dcmread(path)
        image = dataset.pixel_array.astype(np.float32) / np.float32(2**dataset.BitsStored - 1)
        inverse = dataset.PhotometricInterpretation == "MONOCHROME1"  # PS3.3 C.7.6.3.1.2: low is white
    except (InvalidDicomError, OSError, AttributeError, ValueError, NotImplementedError, RuntimeError) as exc:
        raise ConfigurationError(
            f"a DICOM file in {path.parent} cannot be read as a radiograph: {type(exc).__name__}"
        ) from exc
    return 1.0 - image if inverse else image
