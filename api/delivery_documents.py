"""Deliveries and dead letters as lists show them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Delivery, ListPage
from audit import dead_letters
from audit import models as rows
from audit.dead_letters import DeadKind
from core.records import ResultKind


class DeliveryLine(Delivery):
    kind: ResultKind
    sop_class_uid: str = Field(description="Empty for a message.")
    sop_instance_uid: str = Field(description="Of the result.")
    study_instance_uid: str
    prediction_id: int | None = Field(description="Null for what is said about a study as a whole.")
    created_at: datetime = Field(description="When the result was made.")

    @classmethod
    def of_row(cls, delivery: rows.Delivery) -> DeliveryLine:
        result = delivery.result_object
        return cls.of(
            delivery,
            result.sop_class_uid,
            kind=result.kind,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            study_instance_uid=result.study.study_instance_uid,
            prediction_id=result.prediction_id,
            created_at=result.created_at,
        )


class DeliveryPage(ListPage):
    items: list[DeliveryLine]


class DeadLetter(BaseModel):
    """A delivery that no destination took, or an image whose analysis failed: for good, unless a person retries it."""

    model_config = ConfigDict(frozen=True)

    kind: DeadKind
    id: int = Field(description="Of the delivery or the job.")
    at: datetime = Field(description="When the result was made, or the analysis ended.")
    error: str | None = Field(description="Code of what was in the way.")
    attempts: int
    destination: str | None = Field(description="Of a delivery.")
    result_kind: ResultKind | None = Field(description="Of a delivery.")
    prediction_id: int | None
    sop_instance_uid: str = Field(description="Of the result, or of the image.")
    study_instance_uid: str

    @classmethod
    def of(cls, letter: dead_letters.DeadLetter) -> DeadLetter:
        about = letter.about
        if isinstance(about, rows.Delivery):
            return cls(
                kind=DeadKind.DELIVERY,
                id=about.id,
                at=letter.at,
                error=about.last_error,
                attempts=about.attempts,
                destination=about.destination,
                result_kind=about.result_object.kind,
                prediction_id=about.result_object.prediction_id,
                sop_instance_uid=about.result_object.sop_instance_uid,
                study_instance_uid=about.result_object.study.study_instance_uid,
            )
        reasons = (remark.code for remark in about.warnings if remark.severity is rows.Severity.REASON)
        return cls(
            kind=DeadKind.JOB,
            id=about.instance.job.id,
            at=letter.at,
            error=next(reasons, None),
            attempts=about.instance.job.attempts,
            destination=None,
            result_kind=None,
            prediction_id=about.id,
            sop_instance_uid=about.instance.sop_instance_uid,
            study_instance_uid=about.instance.study.study_instance_uid,
        )


class DeadLetterPage(ListPage):
    items: list[DeadLetter]
