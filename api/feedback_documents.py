"""Feedback as it comes in and goes out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api.masking import OfPatient
from api.parameters import Moment, PageQuery, Word
from audit.feedback import FeedbackFilter, GivenFeedback
from audit.feedback_figures import CAUTION, FeedbackFigures, ModelAtSource, Truth
from audit.models import Agreement, ModelVersion, Role, TrueLabel
from audit.stability import Share
from audit.verification_bias import Estimate, sensitivity, specificity
from core.records import Outcome

ReaderName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
]


def _counted_as_browsers_do(comment: object) -> object:
    """HTML's `maxlength` counts an end of line as one character; the form that is sent has two (CR, LF)."""
    return comment.replace("\r\n", "\n") if isinstance(comment, str) else comment


Comment = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=2000, pattern=r"^[^\x00]*$"),
    BeforeValidator(_counted_as_browsers_do),
]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewFeedback(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    agreement: Agreement = Field(description="With the model's answer.")
    true_label: TrueLabel | None = Field(
        None, description="What the image shows, where that is known; it must not contradict the agreement."
    )
    comment: Comment = Field(
        default="", description="Shown to callers with `phi:read` alone, erased with the patient's data."
    )
    reader: ReaderName | None = Field(default=None, description="Who read the image; the caller when left out.")


class FeedbackItem(_Document):
    id: int
    prediction_id: int
    sop_instance_uid: str = Field(description="Of the image.")
    source: str
    model: str
    model_version: str
    outcome: Outcome = Field(description="What the model said.")
    agreement: Agreement
    true_label: TrueLabel | None
    comment: OfPatient
    reader: str
    principal: str = Field(description="Who sent it: a key's name, or the subject of a token.")
    created_at: datetime
    stands: bool = Field(description="False: the same reader has said something else of this prediction since.")

    @classmethod
    def of(cls, given: GivenFeedback) -> FeedbackItem:
        row = given.feedback
        prediction = row.prediction
        return cls(
            id=row.id,
            prediction_id=prediction.id,
            sop_instance_uid=prediction.instance.sop_instance_uid,
            source=prediction.instance.source.name,
            model=prediction.model_version.name,
            model_version=prediction.model_version.version,
            outcome=prediction.outcome,
            agreement=row.agreement,
            true_label=row.true_label,
            comment=row.comment,
            reader=row.reader,
            principal=row.principal,
            created_at=row.created_at,
            stands=given.stands,
        )


class FeedbackOfPrediction(_Document):
    items: list[FeedbackItem] = Field(description="Newest first.")


class FeedbackPage(_Document):
    items: list[FeedbackItem]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class FeedbackQuery(PageQuery):
    agreement: Agreement | None = None
    true_label: TrueLabel | None = None
    reader: Word | None = None
    stands: bool | None = Field(default=None, description="`true` leaves out what the same reader has replaced.")
    model: Word | None = Field(default=None, description="Name or Device UID.")
    source: Word | None = None
    received_from: Moment | None = Field(default=None, description="When the image came. Inclusive.")
    received_before: Moment | None = Field(default=None, description="Exclusive.")

    @property
    def chosen(self) -> FeedbackFilter:
        return FeedbackFilter(**self.model_dump(exclude={"cursor", "limit"}))


class FiguresQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Word | None = Field(default=None, description="Name or Device UID.")
    source: Word | None = None
    role: Role = Field(Role.ACTIVE, description="`shadow`: of models on trial, held against the same readers' words.")
    received_from: Moment | None = Field(default=None, description="When the image came. Inclusive.")
    received_before: Moment | None = Field(default=None, description="Exclusive.")


class Proportion(_Document):
    value: float
    low: float | None = Field(description="95 % interval; null where none can be told.")
    high: float | None
    count: int | None = Field(default=None, description="`count` of `n` images; null for a corrected estimate.")
    n: int | None = None

    @classmethod
    def of(cls, share: Share | Estimate | None) -> Proportion | None:
        if share is None:
            return None
        low, high = share.interval or (None, None)
        if isinstance(share, Share):
            return cls(value=share.value, low=low, high=high, count=share.count, n=share.n)
        return cls(value=share.value, low=low, high=high)


class FeedbackShare(_Document):
    """How many of the predictions have feedback, and how many of those with each answer."""

    all: Proportion | None
    positive: Proportion | None
    negative: Proportion | None


class Confusion(_Document):
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class Corrected(_Document):
    """For positive and negative answers that were read again unequally often."""

    sensitivity: Proportion | None
    specificity: Proportion | None


class ModelFigures(_Document):
    model: str
    model_version: str
    device_uid: str
    role: Role
    source: str | None = Field(description="Null: all sources together.")
    predictions: int = Field(description="Standing positive and negative answers.")
    feedback_share: FeedbackShare
    unsure: int = Field(description="Images of which no reader could tell.")
    disputed: int = Field(description="Images of which readers contradict each other; not in `confusion`.")
    confusion: Confusion
    sensitivity: Proportion | None = Field(description="Of the images with feedback; Wilson's interval.")
    specificity: Proportion | None
    corrected: Corrected

    @classmethod
    def of_all_sources(cls, model: ModelVersion, role: Role, figures: FeedbackFigures) -> ModelFigures:
        return _figures(model, role, None, figures)

    @classmethod
    def of(cls, row: ModelAtSource) -> ModelFigures:
        return _figures(row.model, row.role, row.source, row.figures)


class FeedbackReport(_Document):
    caution: str = CAUTION
    models: list[ModelFigures] = Field(description="All sources together, newest model first.")
    sources: list[ModelFigures] = Field(description="The same by source.")


def _figures(model: ModelVersion, role: Role, source: str | None, figures: FeedbackFigures) -> ModelFigures:
    positive, negative = figures.verified(Outcome.POSITIVE), figures.verified(Outcome.NEGATIVE)
    every = figures.predictions
    return ModelFigures(
        model=model.name,
        model_version=model.version,
        device_uid=model.device_uid,
        role=role,
        source=source,
        predictions=every,
        feedback_share=FeedbackShare(
            all=Proportion.of(Share(figures.with_feedback, every) if every else None),
            positive=Proportion.of(figures.read_again(Outcome.POSITIVE)),
            negative=Proportion.of(figures.read_again(Outcome.NEGATIVE)),
        ),
        unsure=figures.told(Truth.UNSURE),
        disputed=figures.told(Truth.DISPUTED),
        confusion=Confusion(
            true_positive=positive.pneumonia,
            false_positive=positive.no_pneumonia,
            false_negative=negative.pneumonia,
            true_negative=negative.no_pneumonia,
        ),
        sensitivity=Proportion.of(figures.sensitivity),
        specificity=Proportion.of(figures.specificity),
        corrected=Corrected(
            sensitivity=Proportion.of(sensitivity(positive, negative)),
            specificity=Proportion.of(specificity(positive, negative)),
        ),
    )
