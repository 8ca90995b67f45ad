"""Is this a frontal chest radiograph the model may judge? Coded reasons when not, coded warnings when with reserve.

Only the header is asked here and a few numbers of the picture; what cannot be known is a warning, what is known to be
wrong is a refusal.
"""

from __future__ import annotations

from math import log

import numpy as np
from pydicom.dataset import Dataset

from core.records import Finding, Prediction
from dicom import body_parts, views
from dicom.headers import text
from dicom.identity import is_own_result
from dicom.pixels import Radiograph
from dicom.reading import SourceImage
from dicom.views import View

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_XRAY_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_XRAY_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_RADIOGRAPHS = frozenset({COMPUTED_RADIOGRAPHY, DIGITAL_XRAY_FOR_PRESENTATION, DIGITAL_XRAY_FOR_PROCESSING})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # PS3.4 B.5, and .7.1 to .7.4 multi-frame
# PS3.3 C.7.3.1.1.1; DR and RG are what older and film-based systems write. Modality is Type 1, and missing in places.
_MODALITIES = frozenset({"CR", "DX", "DR", "RG", ""})

# The shipped model's training population, Kermany et al. 2018: children of one to five years.
YOUNGEST_YEARS, PAST_OLDEST_YEARS = 1.0, 6.0
# The shortest side among 48 training images at acquisition size is 480 pixels: what is far below was made for the web.
SHORT_SIDE = 400
# 5th to 95th percentile of grey; the flattest of 1,200 training images has 0.29.
FLATTEST_CONTRAST = 0.25

_REASONS = {
    "own_result": "this is a result of this service coming back",
    "not_a_radiograph": "neither a computed nor a digital radiograph",
    "secondary_capture": "a secondary capture, whose grey values and markings are nobody's acquisition",
    "for_processing": "raw detector data for processing; the image for presentation is the one to send",
    "multi_frame": "more than one frame",
    "colour": "not a single channel of grey",
    "burned_in_annotation": "text is burned into the pixels",
    "wrong_body_part": "the header names another part of the body than the chest",
    "lateral_view": "a lateral view; the model knows frontal ones",
    "unsupported_view": "an oblique, decubitus or other view; the model knows frontal ones",
}
_WARNINGS = {
    "view_unknown": "the header does not say whether this is a frontal view",
    "view_contradicted": "attributes of the header disagree about the view; the more reliable one says frontal",
    "unusual_orientation": "the image is mirrored or lies on its side; the model knows upright ones",
    "body_part_unknown": "the header does not say that this is a chest",
    "age_outside_training_population": "the model was trained on children of 1 to 5 years, and this patient is none",
    "age_unknown": "the header does not tell the age; the model was trained on children of 1 to 5 years",
    "low_resolution": f"the shorter side has fewer than {SHORT_SIDE} pixels",
    "low_contrast": "the picture has very little contrast",
    "near_threshold": "the probability lies close to the threshold",
}


def refusals(source: SourceImage) -> tuple[Finding, ...]:
    """Why the model may not judge this image, from the header alone; empty when it may."""
    return tuple(Finding(code, _REASONS[code]) for code in _refusal_codes(source))


def _refusal_codes(source: SourceImage) -> list[str]:
    dataset = source.dataset
    if is_own_result(dataset):
        return ["own_result"]
    if source.sop_class_uid == _SECONDARY_CAPTURE or source.sop_class_uid.startswith(f"{_SECONDARY_CAPTURE}."):
        return ["secondary_capture"]
    if source.sop_class_uid not in _RADIOGRAPHS or source.modality not in _MODALITIES:
        return ["not_a_radiograph"]
    view = next(iter(views.claims(dataset)), None)
    checks = {
        "for_processing": _for_processing(source),
        "multi_frame": source.number_of_frames != 1,
        "colour": source.samples_per_pixel != 1
        or source.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"),
        "burned_in_annotation": text(dataset, "BurnedInAnnotation").upper() == "YES",
        "wrong_body_part": body_parts.is_chest(dataset) is False,
        "lateral_view": view is View.LATERAL,
        "unsupported_view": view is View.OTHER,
    }
    return [code for code, refused in checks.items() if refused]


def _for_processing(source: SourceImage) -> bool:
    """PS3.3 C.8.11.1: CR has no intent type and is made for presentation."""
    intent = text(source.dataset, "PresentationIntentType").upper()
    return source.sop_class_uid == DIGITAL_XRAY_FOR_PROCESSING or intent == "FOR PROCESSING"


def warnings(source: SourceImage, picture: Radiograph) -> tuple[Finding, ...]:
    """What a reader should know beside the prediction: the picture's own warnings first, then the header's."""
    codes = [*_header_codes(source.dataset, source.patient_age_years), *_picture_codes(picture)]
    return (*picture.warnings, *(Finding(code, _WARNINGS[code]) for code in codes))


def _header_codes(dataset: Dataset, age: float | None) -> list[str]:
    said = views.claims(dataset)
    checks = {
        "view_unknown": not said,
        "view_contradicted": len(set(said)) > 1,
        "unusual_orientation": views.sideways_or_mirrored(dataset),
        "body_part_unknown": body_parts.is_chest(dataset) is None,
        "age_unknown": age is None,
        "age_outside_training_population": age is not None and not YOUNGEST_YEARS <= age < PAST_OLDEST_YEARS,
    }
    return [code for code, holds in checks.items() if holds]


def _picture_codes(picture: Radiograph) -> list[str]:
    pixels = picture.pixels
    sample = pixels[:: max(1, pixels.shape[0] // 512), :: max(1, pixels.shape[1] // 512)]
    dark, bright = np.percentile(sample, (5, 95))
    checks = {"low_resolution": min(pixels.shape) < SHORT_SIDE, "low_contrast": bright - dark < FLATTEST_CONTRAST}
    return [code for code, holds in checks.items() if holds]


def near_threshold(prediction: Prediction, factor: float) -> tuple[Finding, ...]:
    """A warning when the odds of the probability and of the threshold are at most ``factor`` apart.

    Odds, since thresholds lie near 1: there, a few per cent are a world apart.
    """
    certain = prediction.probability in (0.0, 1.0) or prediction.threshold in (0.0, 1.0)
    if certain or abs(log(_odds(prediction.probability) / _odds(prediction.threshold))) > log(factor):
        return ()
    return (Finding("near_threshold", _WARNINGS["near_threshold"]),)


def _odds(probability: float) -> float:
    return probability / (1.0 - probability)
