"""Who observed what with which algorithm: the parts of TID 1500 that every document of ours has."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom import sr
from pydicom.sr.coding import Code

from core.identity import MANUFACTURER, MANUFACTURER_MODEL_NAME
from core.records import ModelIdentity
from dicom import codes, views
from dicom.identity import device_uid
from dicom.reading import SourceImage
from dicom.views import View

CONTAINS = sr.RelationshipTypeValues.CONTAINS
_VIEWS = {View.FRONTAL: codes.FRONTAL, View.LATERAL: codes.LATERAL}


def measurement_report(
    model: ModelIdentity,
    groups: Sequence[sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations],
    sources: Sequence[SourceImage],
) -> sr.MeasurementReport:
    """TID 1500 with one measurement group and one image of the image library for each source."""
    report = sr.MeasurementReport(
        observation_context=observed_by(model),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_concept(codes.ENGLISH)),
    )
    # Before Imaging Measurements, which comes last (TID 1500: the order is significant).
    report[0].ContentSequence.insert(len(report[0].ContentSequence) - 1, _image_library(sources))
    return report


def algorithm(model: ModelIdentity) -> sr.AlgorithmIdentification:
    """TID 4019. The parameters are what turns the network's output into the outcome."""
    return sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        manufacturer=model.manufacturer,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        parameters=[
            f"threshold={model.threshold:g}",
            f"temperature={model.temperature:g}",
            f"weights sha256={model.digest}",
            f"preprocessing={model.preprocessing}",
        ],
    )


def comment(value: str) -> sr.TextContentItem:
    return sr.TextContentItem(name=codes.COMMENT, value=value, relationship_type=CONTAINS)


def observed_by(model: ModelIdentity) -> sr.ObservationContext:
    """TID 1004: a device observed this, and no person."""
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=_concept(codes.DEVICE),
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=device_uid(model),
                name=f"{model.name} {model.version}",
                manufacturer_name=MANUFACTURER,
                model_name=MANUFACTURER_MODEL_NAME,
            ),
        )
    )


def _image_library(sources: Sequence[SourceImage]) -> sr.ContainerContentItem:
    """TID 1600 with the view alone: highdicom's own needs spacing and orientation that many headers lack.

    Viewers before OHIF 3.9 crash on a report that has no library.
    """
    library = sr.ContainerContentItem(name=codes.IMAGE_LIBRARY, relationship_type=CONTAINS)
    group = sr.ContainerContentItem(name=codes.IMAGE_LIBRARY_GROUP, relationship_type=CONTAINS)
    group.ContentSequence = sr.ContentSequence([_library_entry(source) for source in sources])
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _library_entry(source: SourceImage) -> sr.ImageContentItem:
    entry = sr.ImageContentItem(
        name=codes.SOURCE,
        referenced_sop_class_uid=source.sop_class_uid,
        referenced_sop_instance_uid=source.sop_instance_uid,
        relationship_type=CONTAINS,
    )
    view = _VIEWS.get(next(iter(views.claims(source.dataset)), View.OTHER))
    if view is not None:
        context = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
        entry.ContentSequence = sr.ContentSequence(
            [sr.CodeContentItem(name=codes.IMAGE_VIEW, value=view, relationship_type=context)]
        )
    return entry


def _concept(code: Code) -> sr.CodedConcept:
    return sr.CodedConcept.from_code(code)
