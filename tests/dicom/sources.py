"""Radiographs of nobody, clean and dirty, for every test that needs one."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage

from core.records import Analysis, Finding, ModelIdentity, Outcome, Prediction
from dicom.envelope import write
from dicom.headers import quietly
from dicom.reading import SourceImage, read_source
from dicom.wrapping import Wrapping, dx_from_image

CREATED = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
MODEL = ModelIdentity(
    name="mobilenet_v2",
    version="1.0.0",
    manufacturer="pneumo project",
    digest="ab" * 32,
    preprocessing='{"resize":[224,224]}',
    label="pneumonia",
    threshold=0.5,
    temperature=1.25,
)
ANALYSES = {
    "positive": Analysis(
        Outcome.POSITIVE,
        Prediction("pneumonia", 0.873, 0.5),
        warnings=(Finding("age_unknown", "the header does not tell the age"),),
        voi="window",
    ),
    "negative": Analysis(Outcome.NEGATIVE, Prediction("pneumonia", 0.02, 0.5), voi="window"),
    "not_analysed": Analysis(Outcome.NOT_ANALYSED, reasons=(Finding("lateral_view", "a lateral view"),)),
    "failed": Analysis(Outcome.FAILED, reasons=(Finding("undecodable_pixels"),)),
}


def picture(rows: int = 64, columns: int = 80) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8: stands in for an overlay."""
    return np.random.default_rng(7).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def ramp(bits: int = 12, rows: int = 60, columns: int = 80) -> npt.NDArray[np.uint16]:
    """(H, W) uint16 that uses the whole range of ``bits`` and no value only once."""
    values = np.linspace(0, 2**bits - 1, rows * columns).round().astype(np.uint16)
    return values.reshape(rows, columns)


def clean_dx(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None, seed: str = "clean") -> Dataset:
    if pixels is None:
        pixels = ramp(8, 480, 500).astype(np.uint8)
    return dx_from_image(
        pixels,
        Wrapping(
            patient_id="NOBODY-1",
            patient_name="Nobody^Nina",
            patient_sex="F",
            patient_age="004Y",
            patient_birth_date="20210102",
            accession_number="A-17",
            taken=datetime(2025, 11, 12, 8, 30),  # noqa: DTZ001 - DICOM dates have no zone
            seed=seed,
        ),
    )


def dirty_dx() -> Dataset:
    """A CR whose patient and study attributes break every rule they can, yet whose pixels can be read."""
    dirty = clean_dx(ramp(12), seed="dirty")
    for keyword in ("AccessionNumber", "StudyID", "PatientBirthDate", "ReferringPhysicianName", "ImagerPixelSpacing"):
        delattr(dirty, keyword)
    del dirty.WindowCenter
    dirty.SOPClassUID = dirty.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dirty.Modality = "CR"
    dirty.BitsStored, dirty.HighBit = 12, 11
    dirty.PatientOrientation = ""
    dirty.SpecificCharacterSet = "ISO_IR 100"
    misspelled = write(dirty).replace(b"ISO_IR 100", b"ISO_IR_100")
    return with_raw(
        reread(misspelled),
        PatientName="Müller^Jörg^^^^^^".encode("latin-1"),
        PatientID=b"P\\1",
        PatientSex=b"W",
        PatientAge=b"4",
        StudyDate=b"12.11.2025",
        StudyTime=b"8:30",
        SeriesNumber=b"one",
        InstanceNumber=b"1.5",
        StudyDescription=b"\x1bThorax\x00" + b"x" * 80,
    )


def with_raw(dataset: Dataset, **attributes: bytes) -> Dataset:
    """Give attributes bytes that pydicom would refuse to encode. The data set must come from ``reread``."""
    for keyword, value in attributes.items():
        tag = Tag(keyword)
        padded = value + b" " * (len(value) % 2)
        vr = dictionary_VR(tag)
        dataset[tag] = RawDataElement(tag, vr, len(padded), padded, 0, is_implicit_VR=False, is_little_endian=True)
    return dataset


def as_source(dataset: Dataset) -> SourceImage:
    """Through the real door: written, and read as a received file."""
    return read_source(BytesIO(write(dataset)))


def reread(content: bytes) -> Dataset:
    with quietly():
        return dcmread(BytesIO(content))
