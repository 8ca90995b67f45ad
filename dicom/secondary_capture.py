"""The picture a radiologist sees, as Secondary Capture Image Storage (PS3.3 A.8)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, SecondaryCaptureImageStorage

from core.records import ResultKind
from dicom import codes
from dicom.case import Case
from dicom.envelope import code_item, envelope
from dicom.headers import numbers, text, values
from dicom.reading import SourceImage
from dicom.sentences import invitation, remarks, result_sentence

SERIES_NUMBER = 9001  # after whatever the modality numbers its own series
# JPEG 2000's own syntax (4.91) may hold either kind: there the attribute alone counts.
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_SERIES_DESCRIPTION = "AI Grad-CAM overlay - RESEARCH, not for diagnosis"


def build(case: Case, picture: npt.NDArray[np.uint8]) -> Dataset:
    """``picture``: (H, W, 3) uint8, RGB, with text and heat map burned in.

    Stored uncompressed, which every PACS takes: at most some 4 MB for a page of 1280 x 1024.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"a picture is (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    model, intended_use = case.model, case.intended_use
    lines = (intended_use, result_sentence(case.analysis), *remarks(case.analysis), *invitation(case.feedback_url))
    comments = "\n".join(lines)
    derivation = (
        f"The radiograph beside itself under a Grad-CAM heat map of {model.name} {model.version} for {model.label}, "
        f"resampled and framed with text. {intended_use}"
    )
    capture = envelope(
        case,
        ResultKind.SECONDARY_CAPTURE,
        sop_class_uid=SecondaryCaptureImageStorage,
        modality="OT",  # not the source's: hanging protocols must not take it for the radiograph
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=(comments, derivation),
    )
    capture.ConversionType = "WSD"  # PS3.3 C.8.6.1: made by a workstation, not digitised from film
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = capture.ContentDate, capture.ContentTime
    capture.BodyPartExamined = "CHEST"
    capture.ImageType = ["DERIVED", "SECONDARY", "OTHER", "AI_OVERLAY"]
    capture.PatientOrientation = ""  # two pictures and text in one: no direction holds for all of it
    capture.BurnedInAnnotation = "YES"
    capture.ImageComments = comments[:10240]
    capture.DerivationDescription = derivation[:1024]
    capture.DerivationCodeSequence = [code_item(codes.SPATIAL_RESAMPLING), code_item(codes.PIXEL_MASK)]
    capture.SourceImageSequence = [_source_reference(case.source)]
    keep_lossy_compression(case.source, capture)

    rows, columns, _ = picture.shape
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = "RGB"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = rows, columns
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    capture.PixelData = picture.tobytes() + b"\0" * (picture.size % 2)
    capture["PixelData"].VR = "OB"  # PS3.5 A.2
    return capture


def _source_reference(source: SourceImage) -> Dataset:
    """PS3.3 C.7.6.1.1.4. The frame moves every pixel to another place, hence NO and not REORIENTED_ONLY."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
    return item


def keep_lossy_compression(source: SourceImage, capture: Dataset) -> None:
    """PS3.3 C.7.6.1.1.5: once lossy, every derived image is."""
    lossy = text(source.dataset, "LossyImageCompression") == "01" or source.transfer_syntax_uid in _LOSSY
    capture.LossyImageCompression = "01" if lossy else "00"
    ratios = numbers(source.dataset, "LossyImageCompressionRatio")
    methods = [str(method) for method in values(source.dataset, "LossyImageCompressionMethod")]
    if lossy and ratios and len(ratios) == len(methods):
        capture.LossyImageCompressionRatio = [f"{ratio:.4g}" for ratio in ratios]
        capture.LossyImageCompressionMethod = methods
