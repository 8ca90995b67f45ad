"""The JSON that goes out. Explicit on purpose: a new column is shown only when someone names it here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from api.masking import OfPatient
from audit import models as rows
from core.records import DeliveryState, Outcome, ResultKind


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


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
    first_due_at: datetime | None = Field(description="When it was first due; tried for since then.")
    confirm_at: datetime | None = Field(description="When the destination is asked next whether it has it.")
    repeats: int = Field(description="How often it was sent again because the destination did not have it.")
    last_status: str | None = Field(
        description="Status of C-STORE (PS3.4 B.2.3) in four hexadecimal digits, `0x0122`; of HTTP and HL7 in decimal "
        "ones, `503`. Null if there was no answer."
    )
    last_error: str | None

    @classmethod
    def of(cls, delivery: rows.Delivery, sop_class_uid: str, /, **more: object) -> Self:
        return cls.model_validate({
            **{name: getattr(delivery, name) for name in Delivery.model_fields if name != "last_status"},
            "last_status": _status_word(delivery, sop_class_uid),
            **more,
        })  # fmt: skip


class Result(_Document):
    kind: ResultKind
    sop_class_uid: str = Field(description="Empty for a message.")
    sop_instance_uid: str
    series_instance_uid: str
    created_at: datetime
    deliveries: list[Delivery]

    @classmethod
    def of(cls, result: rows.ResultObject) -> Result:
        return cls(
            kind=result.kind,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            series_instance_uid=result.series_instance_uid,
            created_at=result.created_at,
            deliveries=[Delivery.of(delivery, result.sop_class_uid) for delivery in result.deliveries],
        )


class ReaderWord(_Document):
    """What a reader said of a prediction."""

    agreement: rows.Agreement
    true_label: rows.TrueLabel | None
    comment: OfPatient
    reader: str
    created_at: datetime
    stands: bool = Field(description="False where the same reader said something later.")


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


class ImageJob(_Document):
    """The analysis of an image as work to do."""

    id: int
    state: InstanceState
    priority: rows.Priority
    generation: int = Field(description="Counts the analyses that had to be told apart from an earlier one.")
    attempts: int
    last_error: str | None
    created_at: datetime
    due_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: rows.Job) -> ImageJob:
        own = {name: getattr(job, name) for name in cls.model_fields if name != "state"}
        return cls(**own, state=InstanceState.of(job))


class Image(_Document):
    """A received instance."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: OfPatient
    issuer_of_patient_id: OfPatient
    source: str
    calling_ae_title: str
    received_at: datetime
    media_type: str = Field(description="Of the file: `application/dicom`, or of an upload `image/jpeg`, `image/png`.")
    uploaded_by: str | None = Field(description="Who gave it to the prediction service; null if it came by DICOM.")
    original_sop_instance_uid: str | None = Field(description="Of a DICOM file that was uploaded.")
    original_study_instance_uid: str | None = Field(description="Of a DICOM file that was uploaded.")

    @classmethod
    def of(cls, instance: rows.Instance, /, **more: object) -> Self:
        upload = instance.upload
        own = {name: getattr(instance, name) for name in Image.model_fields if hasattr(rows.Instance, name)}
        return cls.model_validate({
            **own,
            "source": instance.source.name,
            "uploaded_by": upload.principal if upload else None,
            "original_sop_instance_uid": (upload.original_sop_instance_uid or None) if upload else None,
            "original_study_instance_uid": (upload.original_study_instance_uid or None) if upload else None,
            **more,
        })  # fmt: skip


class StudyHeader(_Document):
    study_instance_uid: str
    patient_id: OfPatient
    issuer_of_patient_id: OfPatient
    accession_number: OfPatient
    study_date: OfPatient = Field(description="YYYYMMDD as received, or empty.")
    first_received_at: datetime
    last_received_at: datetime
    reported_at: datetime | None = Field(
        description="When its results were let go; null while it may still grow. Of an upload, which has none to let "
        "go, when it came."
    )
    erased_at: datetime | None = Field(description="When what told of the patient was erased.")


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
    pictures: list[rows.PictureKind] = Field(description="Of which there is a PNG.")
    feedback: list[ReaderWord] = Field(description="What readers said of it, oldest first.")
    created_at: datetime
    latency_seconds: float = Field(description="From the arrival of the image to its outcome.")
    recalled_at: datetime | None = Field(description="When it was withdrawn; null while it stands.")
    stage_seconds: dict[str, float]

    @classmethod
    def of(cls, prediction: rows.Prediction, instance: rows.Instance, /, **more: object) -> Self:
        return cls.model_validate({
            "id": prediction.id,
            "role": prediction.role,
            "outcome": prediction.outcome,
            "probability": prediction.probability,
            "voi": prediction.voi,
            "model": prediction.model_version,
            "warnings": _remarks(prediction, rows.Severity.WARNING),
            "reasons": _remarks(prediction, rows.Severity.REASON),
            "results": [Result.of(result) for result in prediction.result_objects],
            "pictures": [picture.kind for picture in prediction.pictures],
            "feedback": _words(prediction.feedback),
            "created_at": prediction.created_at,
            "latency_seconds": _latency(prediction, instance),
            "recalled_at": prediction.recalled_at,
            "stage_seconds": prediction.stage_seconds,
            **more,
        })  # fmt: skip


class PredictionDetail(Verdict):
    instance: Image
    study: StudyHeader
    job: ImageJob

    @classmethod
    def of_row(cls, prediction: rows.Prediction) -> PredictionDetail:
        instance = prediction.instance
        return cls.of(
            prediction, instance, instance=Image.of(instance), study=instance.study, job=ImageJob.of(instance.job)
        )


class PredictionSummary(_Document):
    id: int
    role: rows.Role
    outcome: Outcome
    label: str
    probability: float | None
    threshold: float
    patient_id: OfPatient
    issuer_of_patient_id: OfPatient
    accession_number: OfPatient = Field(description="Of the study.")
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    source: str
    uploaded_by: str | None = Field(description="Who gave the image to the prediction service; null if by DICOM.")
    model: str
    model_version: str
    device_uid: str
    warnings: list[str] = Field(description="Codes.")
    reasons: list[str] = Field(description="Codes.")
    deliveries: dict[DeliveryState, int] = Field(description="How many deliveries are in each state.")
    feedback: dict[rows.Agreement, int] = Field(description="How many readers said so, their last word each.")
    pictures: list[rows.PictureKind] = Field(description="Of which there is a PNG.")
    received_at: datetime
    created_at: datetime
    latency_seconds: float = Field(description="From the arrival of the image to its outcome.")
    recalled_at: datetime | None = Field(description="When it was withdrawn; null while it stands.")

    @classmethod
    def of(cls, prediction: rows.Prediction, deliveries: Mapping[DeliveryState, int]) -> PredictionSummary:
        instance, version = prediction.instance, prediction.model_version
        return cls(
            id=prediction.id,
            role=prediction.role,
            outcome=prediction.outcome,
            label=version.label,
            probability=prediction.probability,
            threshold=version.threshold,
            patient_id=instance.patient_id,
            issuer_of_patient_id=instance.issuer_of_patient_id,
            accession_number=instance.study.accession_number,
            study_instance_uid=instance.study.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            source=instance.source.name,
            uploaded_by=instance.upload.principal if instance.upload else None,
            model=version.name,
            model_version=version.version,
            device_uid=version.device_uid,
            warnings=[remark.code for remark in _remarks(prediction, rows.Severity.WARNING)],
            reasons=[remark.code for remark in _remarks(prediction, rows.Severity.REASON)],
            deliveries=dict(deliveries),
            feedback=dict(Counter(said.agreement for said in last_words(prediction.feedback))),
            pictures=[picture.kind for picture in prediction.pictures],
            received_at=instance.received_at,
            created_at=prediction.created_at,
            latency_seconds=_latency(prediction, instance),
            recalled_at=prediction.recalled_at,
        )


class ListPage(_Document):
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")
    total: int | None = Field(None, description="On all pages; null unless asked for with `count=true`.")


class PredictionPage(ListPage):
    items: list[PredictionSummary]


class StudyImage(Image):
    state: InstanceState = Field(description="Anything but `finished`: nothing was said about this image yet.")
    attempts: int
    last_error: str | None
    job: ImageJob
    predictions: list[Verdict]

    @classmethod
    def of_row(cls, instance: rows.Instance) -> StudyImage:
        return cls.of(
            instance,
            state=InstanceState.of(instance.job),
            attempts=instance.job.attempts,
            last_error=instance.job.last_error,
            job=ImageJob.of(instance.job),
            predictions=[Verdict.of(prediction, instance) for prediction in instance.predictions],
        )


class StudyDetail(StudyHeader):
    unfinished: int = Field(description="Images without an outcome. While it is not 0, silence means nothing.")
    instances: list[StudyImage]
    results: list[Result] = Field(description="About the study as a whole, notes that reject results among them.")

    @classmethod
    def of(
        cls, study: rows.Study, results: Sequence[rows.ResultObject], images: Sequence[rows.Instance] | None = None
    ) -> StudyDetail:
        """``images``: those to show; all when left out."""
        shown = [StudyImage.of_row(instance) for instance in (study.instances if images is None else images)]
        return cls(
            **dict(StudyHeader.model_validate(study)),
            unfinished=sum(image.state != InstanceState.FINISHED for image in shown),
            instances=shown,
            results=[Result.of(result) for result in results],
        )


class Event(_Document):
    id: int
    at: datetime
    kind: str
    subject: str = Field(description="The UID or row the event is about; empty when there is none.")
    actor: str
    data: dict[str, object]


class EventPage(ListPage):
    items: list[Event]


def last_words(feedback: Sequence[rows.Feedback]) -> list[rows.Feedback]:
    """Of each reader the last."""
    return list({said.reader: said for said in feedback}.values())


def _words(feedback: Sequence[rows.Feedback]) -> list[ReaderWord]:
    standing = {said.id for said in last_words(feedback)}
    own = [name for name in ReaderWord.model_fields if name != "stands"]
    return [ReaderWord(**{name: getattr(said, name) for name in own}, stands=said.id in standing) for said in feedback]


def _latency(prediction: rows.Prediction, instance: rows.Instance) -> float:
    return (prediction.created_at - instance.received_at).total_seconds()


def _status_word(delivery: rows.Delivery, sop_class_uid: str) -> str | None:
    status = delivery.last_status
    if status is None:
        return None
    # STOW-RS answers with statuses of C-STORE for each object, or of HTTP where the whole request was refused.
    of_http = not sop_class_uid or "http_" in (delivery.last_error or "") or delivery.last_error == "not_in_answer"
    return str(status) if of_http else f"0x{status:04X}"


def _remarks(prediction: rows.Prediction, severity: rows.Severity) -> list[rows.PredictionWarning]:
    return [remark for remark in prediction.warnings if remark.severity == severity]
