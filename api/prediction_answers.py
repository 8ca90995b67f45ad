"""What the prediction service answers. The first members are the published ones of the service it stands in for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from api.problems import Code, Problem, problem_document
from audit.models import Prediction, PredictionWarning, Severity
from core.records import Outcome

PredictedClass = Literal["NORMAL", "PNEUMONIA"]
CLASS_NAMES: list[PredictedClass] = ["NORMAL", "PNEUMONIA"]
_FAULTS_OF_THE_FILE = frozenset({
    "unreadable_image", "unreadable_dicom", "undecodable_pixels", "unsupported_transfer_syntax", "invalid_uid",
})  # fmt: skip


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class AnsweringModel(_Answer):
    name: str
    version: str
    device_uid: str = Field(description="Stands for weights, preprocessing, threshold and test-time augmentation.")


class PredictionAnswer(_Answer):
    status: Literal["success"]
    prediction: PredictedClass = Field(description="By the model's threshold.")
    confidence: float = Field(
        description="Per cent: the calibrated probability of the predicted class. The threshold need not be 50 %, so "
        "the predicted class may have less than the other."
    )
    probabilities: dict[PredictedClass, float] = Field(description="Per cent, calibrated; they sum to 100.")
    processing_time_ms: float = Field(description="From the last byte of the request to this answer.")
    timestamp: datetime = Field(description="When the model judged the image: earlier than now where `cached`.")
    patient_id: str | None = Field(description="As given with the image, else as the DICOM file has it.")
    image_size: list[int] = Field(description="Width and height of the image, pixels.", min_length=2, max_length=2)
    warnings: list[str] | None
    warning_codes: list[str]
    threshold: float = Field(description="Per cent of PNEUMONIA from which on that is the prediction.")
    prediction_id: int = Field(description="Of the audit log: `/v1/predictions/{prediction_id}`.")
    sop_instance_uid: str = Field(description="Under which the image is kept here; not the file's own.")
    model: AnsweringModel
    cached: bool = Field(description="This model had judged the image before.")

    @classmethod
    def of(cls, row: Prediction, *, cached: bool, milliseconds: float) -> Self:
        instance, upload, model = row.instance, row.instance.upload, row.model_version
        if row.probability is None or upload is None:
            raise ValueError("an answer is about an upload that the model has judged")
        ill, pneumonia = row.outcome is Outcome.POSITIVE, _per_cent(row.probability)
        probabilities: dict[PredictedClass, float] = {"NORMAL": round(100 - pneumonia, 2), "PNEUMONIA": pneumonia}
        predicted: PredictedClass = "PNEUMONIA" if ill else "NORMAL"
        warnings = _remarks(row, Severity.WARNING)
        return cls(
            status="success",
            prediction=predicted,
            confidence=probabilities[predicted],
            probabilities=probabilities,
            processing_time_ms=round(milliseconds, 1),
            timestamp=row.created_at,
            patient_id=instance.patient_id or None,
            image_size=[upload.columns, upload.rows],
            warnings=[remark.detail or remark.code for remark in warnings] or None,
            warning_codes=[remark.code for remark in warnings],
            threshold=_per_cent(model.threshold),
            prediction_id=row.id,
            sop_instance_uid=instance.sop_instance_uid,
            model=AnsweringModel(name=model.name, version=model.version, device_uid=model.device_uid),
            cached=cached,
        )


class BatchItem(_Answer):
    """One of the two is null."""

    answer: PredictionAnswer | None
    problem: Problem | None


class BatchAnswer(_Answer):
    status: Literal["success", "partial"] = Field(description="`partial`: at least one file has a problem instead.")
    results: list[BatchItem] = Field(description="In the order of the files.")


def problem_of(row: Prediction) -> Problem:
    """Why there is no answer, of an outcome that is none."""
    reasons = _remarks(row, Severity.REASON)
    detail = " ".join(f"{remark.code}: {remark.detail or 'no more is known.'}" for remark in reasons)
    if row.outcome is Outcome.NOT_ANALYSED:
        return problem_document(HTTPStatus.UNPROCESSABLE_ENTITY, detail, Code.NOT_ANALYSABLE)
    if {remark.code for remark in reasons} & _FAULTS_OF_THE_FILE:
        return problem_document(HTTPStatus.UNPROCESSABLE_ENTITY, detail, Code.NO_IMAGE)
    return problem_document(HTTPStatus.INTERNAL_SERVER_ERROR, detail, Code.ANALYSIS_FAILED)


def without_patient(document: dict[str, Any]) -> dict[str, Any]:
    """To be kept for whoever repeats the request; ``with_patients`` looks again at who the patient is."""
    return with_patients(document, {})


def with_patients(document: dict[str, Any], patient_ids: Mapping[str, str]) -> dict[str, Any]:
    """``patient_ids``: by SOP Instance UID."""
    for answer in _answers_in(document):
        answer["patient_id"] = patient_ids.get(answer["sop_instance_uid"]) or None
    return document


def with_request_id(document: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Where the document is a problem, or holds some: of the request that they answer now."""
    for problem in _problems_in(document):
        problem["request_id"] = request_id
    return document


def sop_instance_uids(document: dict[str, Any]) -> list[str]:
    return [answer["sop_instance_uid"] for answer in _answers_in(document)]


def _answers_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a reply to one file or to many; problems are none."""
    if "results" in document:
        return [item["answer"] for item in document["results"] if item["answer"] is not None]
    return [document] if "prediction" in document else []


def _problems_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "results" in document:
        return [item["problem"] for item in document["results"] if item["problem"] is not None]
    return [] if "prediction" in document else [document]


def _per_cent(share: float) -> float:
    return round(100 * share, 2)


def _remarks(row: Prediction, severity: Severity) -> list[PredictionWarning]:
    return [remark for remark in row.warnings if remark.severity is severity]
