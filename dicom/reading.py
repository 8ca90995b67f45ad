"""Stored bytes -> SourceImage: the header facts later rooms need, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble

from core.errors import FailedForGood
from core.transfer_syntaxes import READABLE
from dicom.headers import MALFORMED, canonical_uid, integer, quietly, text
from dicom.patients import age_years


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """A received image. Its UIDs are canonical and valid; everything else is as the sender wrote it."""

    dataset: Dataset
    """Header and, still encoded, pixel data."""
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    photometric_interpretation: str
    samples_per_pixel: int
    rows: int
    columns: int
    number_of_frames: int
    patient_age_years: float | None


def read_source(file: BinaryIO) -> SourceImage:
    """Read a DICOM file (PS3.10) without decoding a pixel.

    Raises:
        FailedForGood: ``unreadable_dicom`` where this is no DICOM file or its structure is broken,
            ``unsupported_transfer_syntax``, or ``invalid_uid`` where a UID that every reference to the image needs
            is missing or malformed.
    """
    try:
        with quietly():
            transfer_syntax_uid = _transfer_syntax(file)
            if transfer_syntax_uid not in READABLE:
                raise FailedForGood("unsupported_transfer_syntax", transfer_syntax_uid)
            file.seek(0)
            dataset = dcmread(file)
    except (InvalidDicomError, MemoryError, OSError, *MALFORMED) as exc:
        raise FailedForGood("unreadable_dicom", type(exc).__name__) from exc
    return SourceImage(
        dataset=dataset,
        transfer_syntax_uid=transfer_syntax_uid,
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        modality=text(dataset, "Modality").upper(),
        photometric_interpretation=text(dataset, "PhotometricInterpretation").upper(),
        samples_per_pixel=integer(dataset, "SamplesPerPixel", 1),
        rows=integer(dataset, "Rows", 0),
        columns=integer(dataset, "Columns", 0),
        number_of_frames=integer(dataset, "NumberOfFrames", 1),
        patient_age_years=age_years(dataset),
    )


def _transfer_syntax(file: BinaryIO) -> str:
    """From the file meta information alone: dcmread would inflate a deflated data set before anyone could refuse it."""
    read_preamble(file, force=False)
    file_meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag.group != 2
    )
    return canonical_uid(text(file_meta, "TransferSyntaxUID")) or "none named"


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = canonical_uid(text(dataset, keyword))
    if uid is None:
        raise FailedForGood("invalid_uid", f"{keyword} is missing or no UID")
    return uid
