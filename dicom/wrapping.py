"""Pictures that never were DICOM -> Digital X-Ray Image Storage - For Presentation (PS3.3 A.26).

The wrapped object shows exactly the picture's grey values: its window is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from core.errors import FailedForGood
from core.file_header import MAXIMUM_SIDE
from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MANUFACTURER
from dicom import codes
from dicom.decoding import MAXIMUM_PIXELS
from dicom.envelope import code_item
from dicom.identity import derived_uid

_VIEWS = {"AP": codes.ANTERO_POSTERIOR, "PA": codes.POSTERO_ANTERIOR}
# Not the model name of our results: what is wrapped is input.
_MODEL_NAME = "pneumo send"
_UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a picture's own file cannot tell. ``taken`` dates study and image."""

    patient_id: str
    taken: datetime
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: Literal["M", "F", "O", ""] = ""
    patient_age: str = ""
    """VR AS, such as ``004Y``."""
    accession_number: str = ""
    view_position: Literal["AP", "PA"] = "AP"
    seed: str | None = None
    """The same seed makes the same UIDs; random ones when None."""
    study_instance_uid: str | None = None
    """Joins an existing study; a study of its own when None."""
    sop_instance_uid: str | None = None
    """Where the picture has a name already."""
    instance_number: int = 1


def dx_from_image(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], about: Wrapping) -> Dataset:
    """``pixels``: (H, W) uint8 or uint16, high is white. Equal arguments with a seed give equal bytes.

    Raises:
        ValueError: another shape or type, or a side that Rows and Columns cannot tell.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a radiograph is (H, W) uint8 or uint16, got {pixels.shape} {pixels.dtype}")
    if max(pixels.shape) > MAXIMUM_SIDE:
        raise ValueError(f"a radiograph has at most {MAXIMUM_SIDE} rows and columns, got {pixels.shape}")
    bits = 8 * pixels.itemsize
    dx = Dataset()
    dx.SpecificCharacterSet = _UTF_8
    _identify(dx, about)
    _describe_examination(dx, about)

    dx.ImageType = ["DERIVED", "PRIMARY", ""]
    dx.PatientOrientation = ["L", "F"]
    dx.BurnedInAnnotation = "NO"
    dx.LossyImageCompression = "00"
    dx.SamplesPerPixel = 1
    dx.PhotometricInterpretation = "MONOCHROME2"
    dx.Rows, dx.Columns = pixels.shape
    dx.BitsAllocated, dx.BitsStored, dx.HighBit, dx.PixelRepresentation = bits, bits, bits - 1, 0
    # PS3.3 C.8.11.3: required, and with this window of the full range the identity
    dx.PixelIntensityRelationship, dx.PixelIntensityRelationshipSign = "LOG", -1
    dx.RescaleIntercept, dx.RescaleSlope, dx.RescaleType = 0, 1, "US"
    dx.PresentationLUTShape = "IDENTITY"
    dx.WindowCenter, dx.WindowWidth = 2 ** (bits - 1), 2**bits
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dx.PixelData = content + b"\0" * (len(content) % 2)
    dx["PixelData"].VR = "OB" if bits == 8 else "OW"

    dx.file_meta = FileMetaDataset()
    dx.file_meta.MediaStorageSOPClassUID = dx.SOPClassUID
    dx.file_meta.MediaStorageSOPInstanceUID = dx.SOPInstanceUID
    dx.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dx.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dx.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return dx


def _identify(dx: Dataset, about: Wrapping) -> None:
    def uid(what: str) -> str:
        return str(generate_uid(prefix=None)) if about.seed is None else derived_uid("wrapped", what, about.seed)

    date, time = about.taken.strftime("%Y%m%d"), about.taken.strftime("%H%M%S")
    dx.SOPClassUID = DigitalXRayImageStorageForPresentation
    dx.SOPInstanceUID = about.sop_instance_uid or uid("instance")
    dx.PatientName, dx.PatientID = about.patient_name, about.patient_id
    dx.PatientBirthDate, dx.PatientSex = about.patient_birth_date, about.patient_sex
    if about.patient_age:
        dx.PatientAge = about.patient_age
    dx.StudyInstanceUID = about.study_instance_uid or uid("study")
    dx.StudyDate = dx.SeriesDate = dx.AcquisitionDate = dx.ContentDate = date
    dx.StudyTime = dx.SeriesTime = dx.AcquisitionTime = dx.ContentTime = time
    dx.ReferringPhysicianName, dx.StudyID, dx.AccessionNumber = "", "1", about.accession_number
    dx.Modality, dx.PresentationIntentType = "DX", "FOR PRESENTATION"
    dx.SeriesInstanceUID, dx.SeriesNumber, dx.InstanceNumber = uid("series"), 1, about.instance_number
    dx.Manufacturer, dx.ManufacturerModelName = MANUFACTURER, _MODEL_NAME


def _describe_examination(dx: Dataset, about: Wrapping) -> None:
    dx.SeriesDescription = f"Chest {about.view_position}"
    dx.BodyPartExamined = "CHEST"
    dx.ImageLaterality = "U"  # PS3.3 C.8.11.2: the chest is not one of a pair
    dx.AnatomicRegionSequence = [code_item(codes.CHEST)]
    dx.ViewPosition = about.view_position
    view = code_item(_VIEWS[about.view_position])
    view.ViewModifierCodeSequence = []
    dx.ViewCodeSequence = [view]
    dx.PositionerType = ""
    dx.AcquisitionContextSequence = []
    # PS3.3 C.8.11.4: the file tells neither detector nor its spacing
    dx.DetectorType, dx.DetectorID = "", ""
    dx.ImagerPixelSpacing = _UNKNOWN_SPACING


# PS3.3 C.8.11.4 makes it Type 1: 0.2 mm is a usual detector and harms nobody, for no distance is measured here.
_UNKNOWN_SPACING = [0.2, 0.2]


def image_file_to_dx(file: Path | BinaryIO, about: Wrapping) -> Dataset:
    """Wrap a JPEG or PNG file: grey of 8 or 16 bits, or colour as its luminance; the EXIF orientation is applied.

    Raises:
        FailedForGood: ``unreadable_image``.
    """
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                raise FailedForGood("unreadable_image", f"more than {MAXIMUM_PIXELS} pixels")
            if max(image.size) > MAXIMUM_SIDE:
                raise FailedForGood("unreadable_image", f"a side of more than {MAXIMUM_SIDE} pixels")
            is_jpeg = image.format == "JPEG"
            pixels = _grey(ImageOps.exif_transpose(image))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise FailedForGood("unreadable_image", type(exc).__name__) from exc
    dx = dx_from_image(pixels, about)
    if is_jpeg:  # PS3.3 C.7.6.1.1.5
        dx.LossyImageCompression, dx.LossyImageCompressionMethod = "01", "ISO_10918_1"
        dx.LossyImageCompressionRatio = f"{pixels.nbytes / _size(file):.4g}"
    return dx


def _size(file: Path | BinaryIO) -> int:
    return file.stat().st_size if isinstance(file, Path) else file.seek(0, SEEK_END)


def _grey(image: Image.Image) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    if image.mode.startswith("I"):  # Pillow's modes for 16-bit PNG
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("more than 16 bits")
        return wide.astype(np.uint16)
    return np.asarray(image.convert("L"))
