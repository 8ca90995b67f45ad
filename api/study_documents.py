"""Studies and images as lists show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from api.masking import OfPatient
from api.schemas import Image, InstanceState, ListPage, StudyHeader
from audit import models as rows
from audit.study_listing import ListedStudy
from core.records import DeliveryState, Outcome


class Arrival(StrEnum):
    """How far a study's objects came at a destination."""

    CONFIRMED = "confirmed"
    """It has all of them."""
    PARTLY_CONFIRMED = "partly_confirmed"
    SENT = "sent"
    """It took at least one of them, and is not known to have any."""
    PENDING = "pending"
    DEAD = "dead"

    @classmethod
    def of(cls, states: Mapping[DeliveryState, int]) -> Arrival:
        if states.get(DeliveryState.CONFIRMED):
            return cls.CONFIRMED if set(states) == {DeliveryState.CONFIRMED} else cls.PARTLY_CONFIRMED
        reached = (DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.DEAD)
        return next(cls(state.value) for state in reached if states.get(state))


class DestinationState(BaseModel):
    """Of the DICOM objects that stand; messages do not count."""

    model_config = ConfigDict(frozen=True)

    destination: str
    state: Arrival
    objects: dict[DeliveryState, int] = Field(description="How many are in each state.")


class StudySummary(StudyHeader):
    images: int
    unfinished: int = Field(description="Images without an outcome. While it is not 0, silence means nothing.")
    uploads: int = Field(description="Images that were given to the prediction service.")
    sources: list[str]
    outcomes: dict[Outcome, int] = Field(description="Of the answers that stand.")
    recalled: int = Field(description="Answers that were withdrawn.")
    highest_probability: float | None
    destinations: list[DestinationState]

    @classmethod
    def of(cls, listed: ListedStudy) -> StudySummary:
        return cls(
            **dict(StudyHeader.model_validate(listed.row)),
            images=listed.images,
            unfinished=listed.unfinished,
            uploads=listed.uploads,
            sources=list(listed.sources),
            outcomes=dict(listed.outcomes),
            recalled=listed.recalled,
            highest_probability=listed.highest_probability,
            destinations=[
                DestinationState(destination=name, state=Arrival.of(states), objects=dict(states))
                for name, states in listed.deliveries.items()
            ],
        )


class StudyPage(ListPage):
    items: list[StudySummary]


class InstanceSummary(Image):
    study_instance_uid: str
    accession_number: OfPatient = Field(description="Of the study.")
    state: InstanceState = Field(description="Anything but `finished`: nothing was said about this image yet.")
    attempts: int
    last_error: str | None
    prediction_id: int | None = Field(description="Of the answer that stands, the last one; null while there is none.")
    outcome: Outcome | None
    probability: float | None
    recalled: int = Field(description="Answers that were withdrawn.")
    finished_at: datetime | None

    @classmethod
    def of_row(cls, instance: rows.Instance) -> InstanceSummary:
        standing = [row for row in instance.predictions if row.recalled_at is None]
        last = standing[-1] if standing else None
        return cls.of(
            instance,
            study_instance_uid=instance.study.study_instance_uid,
            accession_number=instance.study.accession_number,
            state=InstanceState.of(instance.job),
            attempts=instance.job.attempts,
            last_error=instance.job.last_error,
            prediction_id=last.id if last else None,
            outcome=last.outcome if last else None,
            probability=last.probability if last else None,
            recalled=len(instance.predictions) - len(standing),
            finished_at=instance.job.finished_at,
        )


class InstancePage(ListPage):
    items: list[InstanceSummary]
