"""One image's measurement group: TID 1410 where a region is known, TID 1501 where none is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import sr
from pydicom.sr.coding import Code

from core.records import Prediction
from dicom import codes
from dicom.case import Case
from dicom.evaluations import evaluations
from dicom.evidence import Reference
from dicom.identity import device_uid, tracking_uid
from dicom.observation import CONTAINS, algorithm, comment
from dicom.sentences import BEFORE_THE_ADDRESS, in_per_cent

Group = sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations


def measurement_group(
    case: Case, comments: Sequence[str], *, region_source: Code | None, grad_cam: Reference | None = None
) -> Group:
    """``region_source``: concept of the image that the region lies on; with None the region is left out."""
    source, analysis, label = case.source, case.analysis, case.model.label
    finding = codes.finding(label)
    parts: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=tracking_uid(source.sop_instance_uid, device_uid(case.model), label, case.generation),
            identifier=f"AI {label}",
        ),
        "finding_type": finding,
        "finding_sites": [sr.FindingSite(anatomic_location=codes.LUNG)],
        "algorithm_id": algorithm(case.model),
        "measurements": _measurements(analysis.prediction) if analysis.prediction else None,
        "qualitative_evaluations": evaluations(analysis, finding),
    }
    group: Group
    if case.region is None or region_source is None:
        image = sr.SourceImageForMeasurementGroup(source.sop_class_uid, source.sop_instance_uid)
        group = sr.MeasurementsAndQualitativeEvaluations(**parts, source_images=[image])
    else:
        region = _image_region(case, case.region.points, region_source)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(**parts, referenced_region=region)
    items = group[0].ContentSequence
    if grad_cam is not None:
        items.append(
            sr.ImageContentItem(
                name=codes.GRAD_CAM,
                referenced_sop_class_uid=grad_cam.sop_class_uid,
                referenced_sop_instance_uid=grad_cam.sop_instance_uid,
                relationship_type=CONTAINS,
            )
        )
    # The words come first, after the two tracking items: viewers that print values without their names would otherwise
    # open a negative report with "Pneumonia".
    shown = [comment(words) for words in comments]
    if case.feedback_url:
        address = sr.TextContentItem(name=codes.URI, value=case.feedback_url, relationship_type=CONTAINS)
        shown += [comment(BEFORE_THE_ADDRESS), address]
    for position, item in enumerate(shown, start=2):
        items.insert(position, item)
    return group


def _measurements(prediction: Prediction) -> list[sr.Measurement]:
    """Certainty rather than (122157, DCM, Probability): its unit is the per cent that viewers print, and CAD reports
    use it (TID 4104). The value is the calibrated probability that the finding is present, negative or not.
    """
    shares = {
        codes.CERTAINTY_OF_FINDING: prediction.probability,
        codes.THRESHOLD_VALUE: prediction.threshold,
    }
    return [sr.Measurement(name=name, value=in_per_cent(share), unit=codes.PERCENT) for name, share in shares.items()]


def _image_region(case: Case, points: Sequence[tuple[float, float]], region_source: Code) -> sr.ImageRegion:
    """PS3.3 C.18.6.1.2: a polyline is closed by its first point at the end."""
    image = sr.SourceImageForRegion(case.source.sop_class_uid, case.source.sop_instance_uid)
    image.ConceptNameCodeSequence = [sr.CodedConcept.from_code(region_source)]
    return sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array((*points, points[0]), dtype=np.float32),
        source_image=image,
    )
