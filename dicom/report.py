"""The report a machine can trust, as Comprehensive SR (PS3.3 A.35.3) after TID 1500."""

from __future__ import annotations

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage

from core.identity import MANUFACTURER, MANUFACTURER_MODEL_NAME
from core.records import ModelIdentity, Outcome, ResultKind
from dicom import codes
from dicom.case import Case
from dicom.envelope import envelope
from dicom.identity import device_uid, tracking_uid
from dicom.reading import SourceImage
from dicom.sentences import percent, remarks, result_sentence

SERIES_NUMBER = 9002
_SERIES_DESCRIPTION = "AI report - RESEARCH, not for diagnosis"
_CONTAINS = sr.RelationshipTypeValues.CONTAINS

_PRESENCE = {
    Outcome.POSITIVE: codes.PRESENT,
    Outcome.NEGATIVE: codes.ABSENT,
    Outcome.NOT_ANALYSED: codes.UNDETERMINED,
    Outcome.FAILED: codes.UNDETERMINED,
}
_RUN = {
    Outcome.POSITIVE: codes.SUCCEEDED_WITH_FINDINGS,
    Outcome.NEGATIVE: codes.SUCCEEDED_WITHOUT_FINDINGS,
    Outcome.NOT_ANALYSED: codes.NONE_SUCCEEDED,
    Outcome.FAILED: codes.NONE_SUCCEEDED,
}


def build(case: Case, secondary_capture: Dataset | None) -> Dataset:
    """A report for each of the four outcomes. ``secondary_capture`` is referenced as the Grad-CAM image."""
    source = case.source
    comments = [case.intended_use, result_sentence(case.analysis), *remarks(case.analysis)]
    report = envelope(
        case,
        ResultKind.REPORT,
        sop_class_uid=ComprehensiveSRStorage,
        modality="SR",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=comments,
    )
    references = [(source.series_instance_uid, source.sop_class_uid, source.sop_instance_uid)]
    if secondary_capture is not None:
        references.append(
            (
                str(secondary_capture.SeriesInstanceUID),
                str(secondary_capture.SOPClassUID),
                str(secondary_capture.SOPInstanceUID),
            )
        )
    # PS3.3 C.17.2
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(source.study_instance_uid, references)]
    report.update(_content(case, comments, references)[0])
    return report


def _evidence(study_instance_uid: str, references: list[tuple[str, str, str]]) -> Dataset:
    """PS3.3 C.17.2.3: every instance the content refers to, by study and series."""
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, sop_class_uid, sop_instance_uid in references:
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        series = Dataset()
        series.SeriesInstanceUID = series_instance_uid
        series.ReferencedSOPSequence = [instance]
        study.ReferencedSeriesSequence.append(series)
    return study


def _content(case: Case, comments: list[str], references: list[tuple[str, str, str]]) -> sr.MeasurementReport:
    source, analysis, model = case.source, case.analysis, case.model
    device = device_uid(model)
    finding = codes.finding(model.label)
    measurements = None
    if analysis.prediction is not None:
        # Certainty rather than (122157, DCM, Probability): its unit is the per cent that viewers print, and CAD reports
        # use it (TID 4104). The value is the calibrated probability that the finding is present, negative or not.
        certainty = percent(analysis.prediction.probability)
        measurements = [sr.Measurement(name=codes.CERTAINTY_OF_FINDING, value=certainty, unit=codes.PERCENT)]
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=tracking_uid(source.sop_instance_uid, device, model.label), identifier=f"AI {model.label}"
        ),
        finding_type=finding,
        finding_sites=[sr.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=_algorithm(model),
        measurements=measurements,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(name=finding, value=_PRESENCE[analysis.outcome]),
            sr.QualitativeEvaluation(name=codes.PROCESSING_SUMMARY, value=_RUN[analysis.outcome]),
        ],
        source_images=[sr.SourceImageForMeasurementGroup(source.sop_class_uid, source.sop_instance_uid)],
    )
    items = group[0].ContentSequence
    for _, sop_class_uid, sop_instance_uid in references[1:]:
        items.append(
            sr.ImageContentItem(
                name=codes.GRAD_CAM,
                referenced_sop_class_uid=sop_class_uid,
                referenced_sop_instance_uid=sop_instance_uid,
                relationship_type=_CONTAINS,
            )
        )
    # The words come first, after the two tracking items: viewers that print values without their names would otherwise
    # open a negative report with "Pneumonia".
    for position, comment in enumerate(comments, start=2):
        items.insert(position, sr.TextContentItem(name=codes.COMMENT, value=comment, relationship_type=_CONTAINS))
    report = sr.MeasurementReport(
        observation_context=_observed_by(model, device),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=[group],
        title=codes.IMAGING_MEASUREMENT_REPORT,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_concept(codes.ENGLISH)),
    )
    # Before Imaging Measurements, which comes last (TID 1500: the order is significant).
    report[0].ContentSequence.insert(len(report[0].ContentSequence) - 1, _image_library(source))
    return report


def _concept(code: Code) -> sr.CodedConcept:
    return sr.CodedConcept.from_code(code)


def _algorithm(model: ModelIdentity) -> sr.AlgorithmIdentification:
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


def _observed_by(model: ModelIdentity, device: str) -> sr.ObservationContext:
    """TID 1004: a device observed this, and no person."""
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=_concept(codes.DEVICE),
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=device,
                name=f"{model.name} {model.version}",
                manufacturer_name=MANUFACTURER,
                model_name=MANUFACTURER_MODEL_NAME,
            ),
        )
    )


def _image_library(source: SourceImage) -> sr.ContainerContentItem:
    """TID 1600 without descriptors: highdicom's own needs spacing and orientation that many headers lack.

    Viewers before OHIF 3.9 crash on a report that has no library.
    """
    library = sr.ContainerContentItem(name=codes.IMAGE_LIBRARY, relationship_type=_CONTAINS)
    group = sr.ContainerContentItem(name=codes.IMAGE_LIBRARY_GROUP, relationship_type=_CONTAINS)
    image = sr.ImageContentItem(
        name=codes.SOURCE,
        referenced_sop_class_uid=source.sop_class_uid,
        referenced_sop_instance_uid=source.sop_instance_uid,
        relationship_type=_CONTAINS,
    )
    group.ContentSequence = sr.ContentSequence([image])
    library.ContentSequence = sr.ContentSequence([group])
    return library
