"""What the lists of the audit log can be asked."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.parameters import UID, FilterQuery, ListQuery, Moment, TimeSort, Word
from audit.dead_letters import DeadKind
from audit.delivery_listing import DeliveryChoice
from audit.event_listing import EventFilter
from audit.instance_listing import InstanceFilter
from audit.listing import Sort
from audit.models import Role
from audit.prediction_filter import DeliveryWord, FeedbackState, PredictionFilter
from audit.study_filter import StudyFilter
from core.records import DeliveryState, Outcome, ResultKind

_INCLUSIVE, _EXCLUSIVE = "Inclusive.", "Exclusive."
_PHI = " Needs `phi:read`."


class _OfImages(BaseModel):
    patient_id: Word | None = Field(None, description="Exactly as received with the image." + _PHI)
    issuer_of_patient_id: Word | None = Field(None, description="Exactly as received with the image." + _PHI)
    accession_number: Word | None = Field(None, description="Exactly as received with the image." + _PHI)
    study_instance_uid: UID | None = None
    series_instance_uid: UID | None = None
    sop_instance_uid: UID | None = Field(
        None, description="Of an image as received, of a DICOM file as uploaded, or of a result about it."
    )
    source: Word | None = None
    uploaded: bool | None = Field(None, description="Given to the prediction service.")
    received_from: Moment | None = Field(None, description=_INCLUSIVE)
    received_before: Moment | None = Field(None, description=_EXCLUSIVE)


class _OfPredictions(_OfImages):
    outcome: Outcome | None = None
    label: Word | None = Field(None, description="The finding that the model looks for.")
    probability_from: float | None = Field(None, ge=0, le=1, description=_INCLUSIVE)
    probability_before: float | None = Field(None, ge=0, le=1, description=_EXCLUSIVE)
    warning: Word | None = Field(None, description="Code of a warning beside the prediction.")
    reason: Word | None = Field(None, description="Code of a reason why there is none.")
    model: Word | None = Field(None, description="Name or Device UID.")
    model_version: Word | None = None
    created_from: Moment | None = Field(None, description="Of the analysis. Inclusive.")
    created_before: Moment | None = Field(None, description="Of the analysis. Exclusive.")
    delivery_state: DeliveryWord | None = Field(
        None, description="A result of it is in this state, at `destination` where that is given; `none`: nothing is."
    )
    destination: Word | None = Field(None, description="A result of it goes there.")
    feedback: FeedbackState | None = Field(None, description="Of each reader the last word counts.")
    recalled: bool | None = Field(None, description="Withdrawn.")


class PredictionFilters(FilterQuery, _OfPredictions):
    sort: Sort = Field(Sort.NEWEST, description="By `probability_...`, images without a probability are left out.")
    role: Role = Field(Role.ACTIVE, description="`shadow` lists what models on trial said, which was never reported.")

    @property
    def chosen(self) -> PredictionFilter:
        return PredictionFilter(**self.model_dump(exclude=set(self._not_filters)))


class PredictionQuery(PredictionFilters, ListQuery):
    pass


class StudyFilters(FilterQuery, _OfPredictions):
    sort: TimeSort = Sort.NEWEST
    waiting: bool | None = Field(None, description="An image of it has no outcome. Silence is never an answer.")
    unconfirmed: bool | None = Field(
        None,
        description="Some destination for DICOM objects is not known to have any object of some prediction; with "
        "`destination`, this one. `destinations` of each study says how far it came: sent, pending or dead.",
    )

    @property
    def chosen(self) -> StudyFilter:
        return StudyFilter(**self.model_dump(exclude=set(self._not_filters)))


class StudyQuery(StudyFilters, ListQuery):
    pass


class InstanceQuery(ListQuery, _OfPredictions):
    sort: TimeSort = Sort.NEWEST
    modality: Word | None = None
    waiting: bool | None = Field(None, description="It has no outcome. Silence is never an answer.")

    @property
    def chosen(self) -> InstanceFilter:
        return InstanceFilter(**self.model_dump(exclude=set(self._not_filters)))


class DeliveryFilters(FilterQuery):
    sort: TimeSort = Sort.NEWEST
    state: DeliveryState | None = None
    destination: Word | None = None
    kind: ResultKind | None = None
    last_error: Word | None = None
    since: Moment | None = Field(None, description="Of results made then or later.")
    before: Moment | None = Field(None, description="Of results made before.")
    sop_instance_uid: UID | None = Field(None, description="Of the result, or of the image it is about.")
    study_instance_uid: UID | None = None

    @property
    def chosen(self) -> DeliveryChoice:
        return DeliveryChoice(**self.model_dump(exclude=set(self._not_filters)))


class DeliveryQuery(DeliveryFilters, ListQuery):
    pass


class EventFilters(FilterQuery):
    sort: TimeSort = Sort.NEWEST
    kind: Word | None = Field(
        None, description="For instance `association.refused`; with a dot at its end all that begin so: `delivery.`."
    )
    subject: Word | None = Field(None, description="The UID or row the event is about.")
    actor: Word | None = Field(None, description="Who caused it.")
    request_id: Word | None = Field(None, description="Of the HTTP request that it came of.")
    since: Moment | None = Field(None, description=_INCLUSIVE)
    before: Moment | None = Field(None, description=_EXCLUSIVE)

    @property
    def chosen(self) -> EventFilter:
        return EventFilter(**self.model_dump(exclude=set(self._not_filters)))


class EventQuery(EventFilters, ListQuery):
    pass


class DeadLetterQuery(ListQuery):
    sort: TimeSort = Sort.NEWEST
    kind: DeadKind | None = Field(
        None, description="Results that no destination took for good, or images whose analysis failed for good."
    )
