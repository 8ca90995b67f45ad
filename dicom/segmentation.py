"""Where a positive answer came from, as binary Segmentation (PS3.3 A.51) with the source's rows and columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

from core.records import Region, ResultKind
from dicom import codes
from dicom.case import Case
from dicom.envelope import code_item, envelope
from dicom.headers import values
from dicom.identity import derived_uid, device_uid, tracking_uid
from dicom.reading import SourceImage
from dicom.secondary_capture import keep_lossy_compression

SERIES_NUMBER = 9004
_SERIES_DESCRIPTION = "AI segmentation - RESEARCH, not for diagnosis"
_DIRECTIONS = frozenset("APRLHF")


def build(case: Case) -> Dataset:
    """One segment in one frame, 1 bit a pixel, uncompressed: PS3.5 8.2 has no compression for single bits in wide use.

    Most radiographs have no frame of reference: the derivation names the image whose pixels the segment's lie on.

    Raises:
        ValueError: the case has no region.
    """
    source, label = case.source, case.model.label
    if case.region is None:
        raise ValueError("a segmentation needs a region")
    mask = mask_of(case.region, source.rows, source.columns)
    description = f"Grad-CAM map of {case.model.name} above half of its maximum. Not the outline of a lesion."
    result = envelope(
        case,
        ResultKind.SEGMENTATION,
        sop_class_uid=SegmentationStorage,
        modality="SEG",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=[description],
    )
    result.DeviceSerialNumber = device_uid(case.model)  # PS3.3 C.7.5.2: Type 1
    result.ImageType = ["DERIVED", "PRIMARY"]
    result.PatientOrientation = _orientation(source)
    result.ContentLabel = f"AI_{label.upper()}"[:16]
    result.ContentDescription = f"AI {label} region"[:64]
    result.ContentCreatorName = ""
    keep_lossy_compression(source, result)
    result.SegmentationType = "BINARY"
    result.SegmentSequence = [_segment(case, description)]
    _add_frame(result, source)
    _add_pixels(result, mask)
    return result


def mask_of(region: Region, rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """(rows, columns) bool: the pixels whose middle lies inside the polygon, by the even-odd rule."""
    crossed = np.zeros((rows, columns + 1), np.bool_)
    points = np.array(region.points, np.float64)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        top, bottom = np.clip(np.ceil(np.sort((y0, y1)) - 0.5), 0, rows).astype(int)
        row = np.arange(top, bottom)
        if len(row):
            x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossed[row, np.clip(np.ceil(x - 0.5), 0, columns).astype(int)] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :columns]


def _segment(case: Case, description: str) -> Dataset:
    """PS3.3 C.8.20.4. The same Tracking UID as in the report: both speak of one finding."""
    model, label = case.model, case.model.label
    segment = SegmentDescription(
        segment_number=1,
        segment_label=f"AI {label} region"[:64],
        segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
        segmented_property_type=codes.finding(label),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=model.name[:64],
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=model.version[:64],
            source=model.manufacturer[:64],
            parameters={"threshold": f"{model.threshold:g}", "weights sha256": model.digest},
        ),
        tracking_uid=tracking_uid(case.source.sop_instance_uid, device_uid(model), label, case.generation),
        tracking_id=f"AI {label}",
        anatomic_regions=[codes.LUNG],
    )
    segment.SegmentDescription = description
    return segment


def _add_frame(result: Dataset, source: SourceImage) -> None:
    """Functional groups and dimensions (PS3.3 C.7.6.16, C.7.6.17) of the one frame, and what it was made from."""
    organization = derived_uid("dimensions", result.SOPInstanceUID)
    result.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization)]
    result.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=Tag("ReferencedSegmentNumber"),
            FunctionalGroupPointer=Tag("SegmentIdentificationSequence"),
            DimensionDescriptionLabel="Segment Number",
        )
    ]
    derived_from = _item(
        ReferencedSOPClassUID=source.sop_class_uid,
        ReferencedSOPInstanceUID=source.sop_instance_uid,
        SpatialLocationsPreserved="YES",
        PurposeOfReferenceCodeSequence=[code_item(codes.SOURCE_IMAGE)],
    )
    result.SharedFunctionalGroupsSequence = [
        _item(
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
            DerivationImageSequence=[
                _item(DerivationCodeSequence=[code_item(codes.SEGMENTATION)], SourceImageSequence=[derived_from])
            ],
        )
    ]
    result.PerFrameFunctionalGroupsSequence = [_item(FrameContentSequence=[_item(DimensionIndexValues=[1])])]
    # PS3.3 C.12.2
    instance = _item(ReferencedSOPClassUID=source.sop_class_uid, ReferencedSOPInstanceUID=source.sop_instance_uid)
    result.ReferencedSeriesSequence = [
        _item(SeriesInstanceUID=source.series_instance_uid, ReferencedInstanceSequence=[instance])
    ]


def _add_pixels(result: Dataset, mask: npt.NDArray[np.bool_]) -> None:
    result.NumberOfFrames = 1
    result.Rows, result.Columns = mask.shape
    result.SamplesPerPixel = 1
    result.PhotometricInterpretation = "MONOCHROME2"
    result.BitsAllocated, result.BitsStored, result.HighBit, result.PixelRepresentation = 1, 1, 0, 0
    result.PixelData = pack_bits(mask.astype(np.uint8))
    result["PixelData"].VR = "OB"  # PS3.5 A.2


def _orientation(source: SourceImage) -> list[str] | str:
    """The source's where that is legal (PS3.3 C.7.6.1.1.1): the frame has the same rows and columns."""
    directions = [str(value).strip() for value in values(source.dataset, "PatientOrientation")]
    legal = len(directions) == 2 and all(each and set(each) <= _DIRECTIONS for each in directions)
    return directions if legal else ""


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
