"""One of each object we make, from synthetic radiographs that differ in everything that may differ.

What is equal in all objects of a kind is fixed; what equals the radiograph's own attribute comes from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import ComputedRadiographyImageStorage

from cli.phantom import draw
from core.records import MESSAGE_KINDS, Analysis, Finding, ModelIdentity, Outcome, Prediction, Region, ResultKind
from dicom import codes, key_objects, study_summary
from dicom.case import Case
from dicom.envelope import write
from dicom.evidence import Reference
from dicom.reading import SourceImage, read_source
from dicom.wrapping import Wrapping, dx_from_image
from worker.results import BuiltResult, Picture, results_about

_URL = "https://pneumo.example/r/1.2"


@dataclass(frozen=True, slots=True)
class Sample:
    """An object as it is sent, and the image it is about."""

    outcome: Outcome
    dataset: Dataset
    source: Dataset


def samples() -> dict[ResultKind, list[Sample]]:
    """In the order of ResultKind; a kind that no code makes is not in it."""
    found: dict[ResultKind, list[Sample]] = {}
    for case in _cases():
        results = results_about(case, _picture(case), frozenset(ResultKind) - frozenset(MESSAGE_KINDS))
        for result in results:
            found.setdefault(result.kind, []).append(_sample(case, _read(result.content)))
        references = [_reference(result, case) for result in results]
        for kind, document in _documents(replace(case, feedback_url=""), references):
            found.setdefault(kind, []).append(_sample(case, _read(write(document))))
    return {kind: found[kind] for kind in ResultKind if kind in found}


def _documents(case: Case, references: list[Reference]) -> Iterator[tuple[ResultKind, Dataset]]:
    earlier = replace(references[0], sop_instance_uid=f"{references[0].sop_instance_uid[:60]}.1")
    yield (
        ResultKind.STUDY_SUMMARY,
        study_summary.build([case], references=references, predecessor=earlier if case.region else None),
    )
    description = f"of {case.source.sop_instance_uid}"
    yield ResultKind.KEY_OBJECTS, key_objects.build(case, references, description=description)
    title = codes.REJECTED_FOR_QUALITY_REASONS if case.region else codes.REJECTED_FOR_PATIENT_SAFETY_REASONS
    yield ResultKind.REJECTION_NOTE, key_objects.rejection_note(case, references, title=title)


def _sample(case: Case, dataset: Dataset) -> Sample:
    return Sample(case.analysis.outcome, dataset, case.source.dataset)


def _reference(result: BuiltResult, case: Case) -> Reference:
    return Reference(
        case.source.study_instance_uid, result.series_instance_uid, result.sop_class_uid, result.sop_instance_uid
    )


def _read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


def _cases() -> list[Case]:
    """Every outcome; a positive one of each image."""
    ada, ben, nobody = _dx(), _cr(), _bare()
    first, second = _model("1.0.0", 0.5), _model("2.0.0", 0.25)
    left, right = _polygon(20.0, 30.0), _polygon(60.0, 20.0, (60.0, 40.0))
    young, low = Finding("age_unknown", "the header does not tell the age"), Finding("low_resolution")
    use = ("RESEARCH USE ONLY - NOT FOR DIAGNOSIS", "INVESTIGATIONAL DEVICE")
    positive, negative = Prediction("pneumonia", 0.873, 0.5), Prediction("pneumonia", 0.021, 0.25)
    also_positive = Prediction("pneumonia", 0.413, 0.25)
    return [
        Case(ada, Analysis(Outcome.POSITIVE, positive, voi="window"), first, use[0], _day(2), left, feedback_url=_URL),
        Case(ben, Analysis(Outcome.POSITIVE, also_positive, (), (young,)), second, use[1], _day(3), right),
        Case(nobody, Analysis(Outcome.POSITIVE, also_positive), second, use[1], _day(7), right),
        Case(ben, Analysis(Outcome.NEGATIVE, negative, (), (low,)), second, use[1], _day(4), feedback_url=_URL),
        Case(nobody, Analysis(Outcome.NOT_ANALYSED, reasons=(Finding("lateral_view"),)), first, use[0], _day(5)),
        Case(ada, Analysis(Outcome.FAILED, reasons=(Finding("analysis_failed"),)), second, use[1], _day(6)),
    ]


def _polygon(column: float, row: float, *more: tuple[float, float]) -> Region:
    return Region(((column, row), (column + 20, row), (column + 10, row + 30), *more))


def _model(version: str, threshold: float) -> ModelIdentity:
    return ModelIdentity(
        name=f"model {version}",
        version=version,
        manufacturer=f"maker of {version}",
        digest=version[0] * 64,
        preprocessing=f'{{"resize":[{version[0]}24,224]}}',
        label="pneumonia",
        threshold=threshold,
        temperature=2 * threshold,
    )


def _day(day: int) -> datetime:
    return datetime(2026, 3, day, 10 + day, 20 + day, 30 + day, tzinfo=UTC)


def _dx() -> SourceImage:
    dx = dx_from_image(
        draw(3, False, rows=96, columns=128),
        Wrapping(
            patient_id="SAMPLE-1",
            patient_name="Sample^Ada",
            patient_sex="F",
            patient_age="004Y",
            patient_birth_date="20210102",
            accession_number="A-1",
            taken=datetime(2026, 1, 5, 9, 10, tzinfo=UTC),
            seed="conformance 1",
        ),
    )
    dx.StudyDescription, dx.IssuerOfPatientID, dx.ReferringPhysicianName = "Chest AP", "HOSPITAL 1", "Doctor^One"
    request = Dataset()
    request.RequestedProcedureID, request.RequestedProcedureDescription = "RP-1", "Chest radiograph"
    request.ScheduledProcedureStepID, request.ScheduledProcedureStepDescription = "SPS-1", "Chest AP"
    dx.RequestAttributesSequence = [request]
    return _as_received(dx)


def _cr() -> SourceImage:
    cr = dx_from_image(
        draw(8, True, rows=110, columns=100),
        Wrapping(
            patient_id="SAMPLE-2",
            patient_name="Beispiel^J\u00f6rg",
            patient_sex="M",
            patient_age="002Y",
            patient_birth_date="20230405",
            accession_number="A-2",
            view_position="PA",
            taken=datetime(2026, 2, 6, 11, 12, tzinfo=UTC),
            seed="conformance 2",
            instance_number=7,
        ),
    )
    cr.SpecificCharacterSet = "ISO_IR 100"
    cr.SOPClassUID = cr.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    cr.Modality, cr.StudyID, cr.StudyDescription = "CR", "22", "Thorax pa"
    cr.IssuerOfPatientID, cr.ReferringPhysicianName = "HOSPITAL 2", "Doctor^Two"
    cr.PatientOrientation = ["R", "F"]
    cr.LossyImageCompression, cr.LossyImageCompressionRatio = "01", "12.5"
    cr.LossyImageCompressionMethod = "ISO_10918_1"
    cr.PhotometricInterpretation, cr.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    cr.RescaleIntercept, cr.RescaleSlope = -8, 2
    cr.WindowCenter, cr.WindowWidth, cr.ImagerPixelSpacing = 100, 180, [0.15, 0.15]
    return _as_received(cr)


def _bare() -> SourceImage:
    """An image whose header says nothing that it need not say."""
    bare = dx_from_image(
        draw(12, False, rows=80, columns=90),
        Wrapping(patient_id="", taken=datetime(2026, 3, 7, 8, 9, tzinfo=UTC), seed="conformance 3", instance_number=3),
    )
    for keyword in (
        "SpecificCharacterSet", "PatientID", "PatientName", "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime",
        "StudyID", "AccessionNumber", "ReferringPhysicianName", "ViewPosition", "ViewCodeSequence",
        "PatientOrientation", "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth",
        "ImagerPixelSpacing",
    ):  # fmt: skip
        delattr(bare, keyword)
    return _as_received(bare)


def _as_received(dataset: Dataset) -> SourceImage:
    return read_source(BytesIO(write(dataset)))


def _picture(case: Case) -> Picture | None:
    """Stands in for the overlay; (H, W, 3)."""
    if case.analysis.prediction is None:
        return None
    return np.zeros((case.source.rows + 20, case.source.columns + 30, 3), np.uint8)
