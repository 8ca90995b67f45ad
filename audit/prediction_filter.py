"""Which predictions are meant: by what was said, by whom, of which image, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.orm import Session

from audit.feedback import stands
from audit.image_filter import ImageFilter
from audit.listing import Search
from audit.models import (
    Agreement,
    Delivery,
    Feedback,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
)
from core.records import DeliveryState, Outcome


class FeedbackState(StrEnum):
    """What readers have said of a prediction; of each reader the last word counts."""

    GIVEN = "given"
    NONE = "none"
    AGREE = "agree"
    DISAGREE = "disagree"
    UNSURE = "unsure"


class DeliveryWord(StrEnum):
    """In which state a delivery is, or that there is none."""

    PENDING = "pending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    DEAD = "dead"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter(ImageFilter):
    """All that are given must hold; None means any. ``..._from`` is inside its range, ``..._before`` is not."""

    outcome: Outcome | None = None
    label: str | None = None
    probability_from: float | None = None
    probability_before: float | None = None
    warning: str | None = None
    """Code of a warning beside a prediction."""
    reason: str | None = None
    """Code of a reason why there is no prediction."""
    model: str | None = None
    """Name or Device UID."""
    model_version: str | None = None
    role: Role | None = Role.ACTIVE
    """Unless asked for, what models in shadow said is no answer: it was never reported."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    delivery_state: DeliveryWord | None = None
    destination: str | None = None
    """With a state, of one delivery: in this state at this destination."""
    feedback: FeedbackState | None = None
    recalled: bool | None = None

    def asks_for_predictions(self, but: Collection[str] = ()) -> bool:
        """Something is asked for that images have not before a model has answered."""
        given = {each.name for each in fields(PredictionFilter) if getattr(self, each.name) is not None}
        return bool(given - {each.name for each in fields(ImageFilter)} - {"role", *but})


def narrow_predictions(session: Session, search: Search, chosen: PredictionFilter) -> None:
    """On ``Prediction`` alone, so that its indexes decide; some small look-ups are made for them."""
    chosen.narrow(session, search, Prediction.instance_id)
    search.where(*_of_the_row(chosen), *_of_the_model(session, chosen))
    for severity, code in ((Severity.WARNING, chosen.warning), (Severity.REASON, chosen.reason)):
        if code is not None:
            coded = (PredictionWarning.code == code, PredictionWarning.severity == severity)
            search.among(Prediction.id, select(PredictionWarning.prediction_id).where(*coded))
    _narrow_by_deliveries(search, chosen)
    _narrow_by_feedback(search, chosen.feedback)


def _of_the_row(chosen: PredictionFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.outcome is not None:
        yield Prediction.outcome == chosen.outcome
    if chosen.role is not None:
        yield Prediction.role == chosen.role
    if chosen.probability_from is not None:
        yield Prediction.probability >= chosen.probability_from
    if chosen.probability_before is not None:
        yield Prediction.probability < chosen.probability_before
    if chosen.created_from is not None:
        yield Prediction.created_at >= chosen.created_from
    if chosen.created_before is not None:
        yield Prediction.created_at < chosen.created_before
    if chosen.recalled is not None:
        yield Prediction.recalled_at.is_not(None) if chosen.recalled else Prediction.recalled_at.is_(None)


def _of_the_model(session: Session, chosen: PredictionFilter) -> Iterator[ColumnElement[bool]]:
    wanted = []
    if chosen.model is not None:
        wanted.append(or_(ModelVersion.name == chosen.model, ModelVersion.device_uid == chosen.model))
    if chosen.model_version is not None:
        wanted.append(ModelVersion.version == chosen.model_version)
    if chosen.label is not None:
        wanted.append(ModelVersion.label == chosen.label)
    if not wanted:
        return
    ids = session.scalars(select(ModelVersion.id).where(*wanted)).all()
    if len(ids) == 1:
        yield Prediction.model_version_id == ids[0]  # the index has these in the order of the list
    elif ids:
        version = select(ModelVersion.id).where(ModelVersion.id == Prediction.model_version_id)
        yield version.where(ModelVersion.id.in_(ids)).correlate(Prediction).exists()
    else:
        yield false()


def _narrow_by_deliveries(search: Search, chosen: PredictionFilter) -> None:
    if chosen.delivery_state is None and chosen.destination is None:
        return
    found = select(ResultObject.prediction_id).join(ResultObject.deliveries)
    found = found.where(ResultObject.prediction_id.is_not(None))
    if chosen.destination is not None:
        found = found.where(Delivery.destination == chosen.destination)
    if chosen.delivery_state is DeliveryWord.NONE:
        search.where(~found.where(ResultObject.prediction_id == Prediction.id).correlate(Prediction).exists())
        return
    if chosen.delivery_state is not None:
        found = found.where(Delivery.state == DeliveryState(chosen.delivery_state.value))
    search.among(Prediction.id, found)


def _narrow_by_feedback(search: Search, feedback: FeedbackState | None) -> None:
    if feedback is None:
        return
    found = select(Feedback.prediction_id)
    if feedback is FeedbackState.NONE:
        search.where(~found.where(Feedback.prediction_id == Prediction.id).correlate(Prediction).exists())
    elif feedback is FeedbackState.GIVEN:
        search.among(Prediction.id, found)
    else:
        search.among(Prediction.id, found.where(Feedback.agreement == Agreement(feedback), stands()))
