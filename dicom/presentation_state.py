"""The region and the words over the original image, as Grayscale Softcopy Presentation State (PS3.3 A.33.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from core.records import Outcome, Region, ResultKind
from core.wording import percent
from dicom.case import Case
from dicom.envelope import envelope
from dicom.headers import numbers
from dicom.presentation_luts import keep_modality_lut, keep_voi_lut
from dicom.reading import SourceImage

SERIES_NUMBER = 9003
_SERIES_DESCRIPTION = "AI presentation state - RESEARCH, not for diagnosis"
_LAYER = "AI"
_AMBER = (52428, 36494, 52428)  # PS3.3 C.10.7.1.1: CIELab as L* 80, a* 14, b* 76 on 0 to 65535
# Shares of the displayed area: the upper left corner, beside the neck and above the shoulder.
_TEXT_BOX = [0.01, 0.01], [0.4, 0.15]
_HEADLINES = {
    Outcome.POSITIVE: "signs found",
    Outcome.NEGATIVE: "no signs found",
    Outcome.NOT_ANALYSED: "not analysed",
    Outcome.FAILED: "analysis failed",
}


def build(case: Case) -> Dataset:
    """The image with the grey values of its own header; without a region there are the words alone.

    Raises:
        ValueError: the image is no grey image.
    """
    source = case.source
    if source.samples_per_pixel != 1:
        raise ValueError(f"a grey presentation state needs a grey image, got {source.photometric_interpretation}")
    words = "\r\n".join(_words(case))[:1024]  # VR ST
    state = envelope(
        case,
        ResultKind.PRESENTATION_STATE,
        sop_class_uid=GrayscaleSoftcopyPresentationStateStorage,
        modality="PR",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=[words],
    )
    state.BodyPartExamined = "CHEST"  # PS3.3 C.7.3.1.1.2: not paired, hence without Laterality
    # PS3.3 C.11.10
    state.ContentLabel = f"AI_{case.model.label.upper()}"[:16]
    state.ContentDescription = f"{case.model.name} {case.model.version} for {case.model.label}"[:64]
    state.ContentCreatorName = ""
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime
    state.ReferencedSeriesSequence = [_series(source)]
    state.DisplayedAreaSelectionSequence = [_whole_image(source)]
    state.GraphicLayerSequence = [_layer()]
    state.GraphicAnnotationSequence = [_annotation(case.region, words)]
    keep_modality_lut(source.dataset, state)
    keep_voi_lut(source.dataset, state)
    # PS3.3 C.11.6.1.2; a state overrules Photometric Interpretation (PS3.4 N.2)
    state.PresentationLUTShape = "INVERSE" if source.photometric_interpretation == "MONOCHROME1" else "IDENTITY"
    return state


def _words(case: Case) -> list[str]:
    analysis, model = case.analysis, case.model
    lines = [case.intended_use, f"AI {model.label}: {_HEADLINES[analysis.outcome]}"]
    if analysis.prediction is not None:
        certainty, threshold = percent(analysis.prediction.probability), percent(analysis.prediction.threshold)
        lines.append(f"Certainty {certainty}, operating point {threshold}")
    lines.append(f"{model.name} {model.version}")
    # The codes alone: sentences would reach over the lungs.
    for word, findings in (("Reasons", analysis.reasons), ("Warnings", analysis.warnings)):
        if findings:
            lines.append(f"{word}: {', '.join(finding.code for finding in findings)}")
    return lines


def _image(source: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    return item


def _series(source: SourceImage) -> Dataset:
    """PS3.3 C.11.11."""
    item = Dataset()
    item.SeriesInstanceUID = source.series_instance_uid
    item.ReferencedImageSequence = [_image(source)]
    return item


def _whole_image(source: SourceImage) -> Dataset:
    """PS3.3 C.10.4, for every image the state refers to. Pixels count from 1."""
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [source.columns, source.rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(source.dataset, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            item.PresentationPixelSpacing = [f"{distance:.10g}" for distance in spacing]
            return item
    aspect = [round(number) for number in numbers(source.dataset, "PixelAspectRatio")]
    item.PresentationPixelAspectRatio = aspect if len(aspect) == 2 and min(aspect) > 0 else [1, 1]
    return item


def _layer() -> Dataset:
    """PS3.3 C.10.7."""
    item = Dataset()
    item.GraphicLayer = _LAYER
    item.GraphicLayerOrder = 1
    item.GraphicLayerRecommendedDisplayGrayscaleValue = 65535
    item.GraphicLayerRecommendedDisplayCIELabValue = list(_AMBER)
    item.GraphicLayerDescription = "AI result"
    return item


def _annotation(region: Region | None, words: str) -> Dataset:
    """PS3.3 C.10.5, for every image the state refers to."""
    item = Dataset()
    item.GraphicLayer = _LAYER
    item.TextObjectSequence = [_text(words)]
    if region is not None:
        item.GraphicObjectSequence = [_contour(region.points)]
    return item


def _contour(points: Sequence[tuple[float, float]]) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points) + 1
    item.GraphicData = [coordinate for point in (*points, points[0]) for coordinate in point]
    item.GraphicType = "POLYLINE"  # the one type that Weasis draws as it stands
    item.GraphicFilled = "N"
    return item


def _text(words: str) -> Dataset:
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.UnformattedTextValue = words
    item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner = map(list, _TEXT_BOX)
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item
