"""The JSON that goes out. Explicit on purpose: a new column is shown only when someone names it here."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from audit import models as rows
from core.records import DeliveryState, Outcome, ResultKind


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


def _status_word(status: object) -> object:
    return f"0x{status:04X}" if isinstance(status, int) else status


def _source_name(source: object) -> object:
    return source.name if isinstance(source, rows.Source) else source


class Remark(_Document):
    code: str
    detail: str


class Model(_Document):
    name: str
    version: str
    manufacturer: str
    device_uid: str = Field(description="Stands for weights, preprocessing and threshold; in every result object too.")
    digest: str = Field(description="SHA-256 of the weights file.")
    label: str
    threshold: float


class Delivery(_Document):
    id: int
    destination: str
    state: DeliveryState = Field(description="`sent`: the destination took it; `confirmed`: asked later, it had it.")
    attempts: int
    due_at: datetime | None = Field(description="Null while the study may still grow.")
    sent_at: datetime | None
    confirmed_at: datetime | None = Field(description="When the destination said that it has it.")
    last_status: Annotated[str | None, BeforeValidator(_status_word)] = Field(
        description="Status of C-STORE (PS3.4 B.2.3) or HTTP in four hexadecimal digits; null if there was no answer."
    )
    last_error: str | None


class Result(_Document):
    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    deliveries: list[Delivery]


class Image(_Document):
    """A received instance."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: str
    issuer_of_patient_id: str
    source: Annotated[str, BeforeValidator(_source_name)]
    calling_ae_title: str
    received_at: datetime


class StudyHeader(_Document):
    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    study_date: str = Field(description="YYYYMMDD as received, or empty.")
    first_received_at: datetime
    last_received_at: datetime
    reported_at: datetime | None = Field(description="When its results were let go; null while it may still grow.")


class Verdict(_Document):
    """What a model version said about an image, and where that went."""

    id: int
    role: rows.Role = Field(description="`shadow`: a model on trial said so beside the active one; never reported.")
    outcome: Outcome
    probability: float | None = Field(description="Null unless the model judged the image.")
    voi: str | None = Field(description="How stored values became grey values.")
    model: Model
    warnings: list[Remark]
    reasons: list[Remark] = Field(description="Why there is no prediction; filled for not_analysed and failed.")
    results: list[Result]
    created_at: datetime
    stage_seconds: dict[str, float]

    @classmethod
    def of(cls, prediction: rows.Prediction, **more: object) -> Self:
        return cls.model_validate({
            "id": prediction.id,
            "role": prediction.role,
            "outcome": prediction.outcome,
            "probability": prediction.probability,
            "voi": prediction.voi,
            "model": prediction.model_version,
            "warnings": _remarks(prediction, rows.Severity.WARNING),
            "reasons": _remarks(prediction, rows.Severity.REASON),
            "results": prediction.result_objects,
            "created_at": prediction.created_at,
            "stage_seconds": prediction.stage_seconds,
            **more,
        })  # fmt: skip


class PredictionDetail(Verdict):
    latency_seconds: float = Field(description="From the arrival of the image to its outcome.")
    instance: Image
    study: StudyHeader

    @classmethod
    def of_row(cls, prediction: rows.Prediction) -> PredictionDetail:
        instance = prediction.instance
        latency = (prediction.created_at - instance.received_at).total_seconds()
        return cls.of(prediction, latency_seconds=latency, instance=instance, study=instance.study)


class PredictionSummary(_Document):
    id: int
    role: rows.Role
    outcome: Outcome
    label: str
    probability: float | None
    threshold: float
    patient_id: str
    issuer_of_patient_id: str
    study_instance_uid: str
    sop_instance_uid: str
    source: str
    model: str
    model_version: str
    device_uid: str
    warnings: list[str] = Field(description="Codes.")
    reasons: list[str] = Field(description="Codes.")
    deliveries: dict[DeliveryState, int] = Field(description="How many deliveries are in each state.")
    received_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, prediction: rows.Prediction) -> PredictionSummary:
        instance, version = prediction.instance, prediction.model_version
        states = Counter(delivery.state for built in prediction.result_objects for delivery in built.deliveries)
        return cls(
            id=prediction.id,
            role=prediction.role,
            outcome=prediction.outcome,
            label=version.label,
            probability=prediction.probability,
            threshold=version.threshold,
            patient_id=instance.patient_id,
            issuer_of_patient_id=instance.issuer_of_patient_id,
            study_instance_uid=instance.study.study_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            source=instance.source.name,
            model=version.name,
            model_version=version.version,
            device_uid=version.device_uid,
            warnings=[remark.code for remark in _remarks(prediction, rows.Severity.WARNING)],
            reasons=[remark.code for remark in _remarks(prediction, rows.Severity.REASON)],
            deliveries=dict(states),
            received_at=instance.received_at,
            created_at=prediction.created_at,
        )


class PredictionPage(_Document):
    items: list[PredictionSummary]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class InstanceState(StrEnum):
    WAITING = "waiting"
    IN_WORK = "in_work"
    FINISHED = "finished"

    @classmethod
    def of(cls, job: rows.Job) -> InstanceState:
        if job.state == rows.JobState.DONE:
            return cls.FINISHED
        leased = job.lease_until is not None and job.lease_until >= rows.now()
        return cls.IN_WORK if leased else cls.WAITING


class StudyImage(Image):
    state: InstanceState = Field(description="Anything but `finished`: nothing was said about this image yet.")
    attempts: int
    last_error: str | None
    predictions: list[Verdict]

    @classmethod
    def of(cls, instance: rows.Instance) -> StudyImage:
        return cls(
            **dict(Image.model_validate(instance)),
            state=InstanceState.of(instance.job),
            attempts=instance.job.attempts,
            last_error=instance.job.last_error,
            predictions=[Verdict.of(prediction) for prediction in instance.predictions],
        )


class StudyDetail(StudyHeader):
    unfinished: int = Field(description="Images without an outcome. While it is not 0, silence means nothing.")
    instances: list[StudyImage]

    @classmethod
    def of(cls, study: rows.Study) -> StudyDetail:
        images = [StudyImage.of(instance) for instance in study.instances]
        return cls(
            **dict(StudyHeader.model_validate(study)),
            unfinished=sum(image.state != InstanceState.FINISHED for image in images),
            instances=images,
        )


class Event(_Document):
    id: int
    at: datetime
    kind: str
    subject: str = Field(description="The UID or row the event is about; empty when there is none.")
    actor: str
    data: dict[str, object]


class EventPage(_Document):
    items: list[Event]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


def _remarks(prediction: rows.Prediction, severity: rows.Severity) -> list[rows.PredictionWarning]:
    return [remark for remark in prediction.warnings if remark.severity == severity]
