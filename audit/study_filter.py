"""Which studies are meant: by their images, by what was said of these, and by what no PACS is known to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, exists, false, select, union_all
from sqlalchemy.orm import Session, aliased

from audit.listing import FEW, Search, distinct_values
from audit.models import Delivery, Instance, Job, JobState, Prediction, ResultObject, Role, Study
from audit.prediction_filter import PredictionFilter, narrow_predictions
from core.records import DeliveryState

_OPEN = (DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter(PredictionFilter):
    """What tells of images and predictions must hold for one image of the study, with one prediction of it."""

    waiting: bool | None = None
    """An image of it has no outcome."""
    unconfirmed: bool | None = None
    """At some destination for DICOM objects, a prediction that stands has none of its objects confirmed.

    With ``destination``, at this one. Nothing is known to be there: it may have been sent, still be to be sent, or be
    dead. Destinations for messages do not count, nor do studies that nothing was ever to be sent of.
    """


def narrow_studies(session: Session, search: Search, chosen: StudyFilter) -> None:
    """On ``Study`` alone."""
    where = {"destination"} if chosen.unconfirmed else set[str]()
    if chosen.asks_for_predictions(but=where):
        said = Search(session, Prediction.id)
        narrow_predictions(session, said, chosen)
        search.among(Study.id, said.selecting(Instance.study_id).join(Instance.predictions))
    else:
        images = Search(session, Instance.id)
        chosen.narrow(session, images, Instance.id)
        if not images.is_open:
            search.among(Study.id, images.selecting(Instance.study_id))
    if chosen.waiting is not None:
        waiting = select(Instance.study_id).join(Instance.job).where(Job.state == JobState.PENDING)
        if chosen.waiting:
            search.among(Study.id, waiting)
        else:
            search.where(~waiting.where(Instance.study_id == Study.id).correlate(Study).exists())
    if chosen.unconfirmed is not None:
        _narrow_by_confirmation(session, search, chosen)


def _narrow_by_confirmation(session: Session, search: Search, chosen: StudyFilter) -> None:
    destinations = object_destinations(session) if chosen.destination is None else [chosen.destination]
    open_ones = _open_deliveries(destinations)
    there, sibling = aliased(Delivery, name="there"), aliased(ResultObject, name="sibling")
    is_there = exists().where(
        there.result_object_id == sibling.id,
        there.destination == Delivery.destination,
        there.state == DeliveryState.CONFIRMED,
    )
    # One inside the other, not joined: SQLite would begin with all that is confirmed at the destination.
    confirmed = (
        exists()
        .where(sibling.prediction_id == ResultObject.prediction_id, is_there.correlate(sibling, Delivery))
        .correlate(ResultObject, Delivery)
    )
    found = (
        select(ResultObject.study_id)
        .join(ResultObject.deliveries)
        .join(ResultObject.prediction)
        .where(
            ResultObject.sop_class_uid != "",
            Prediction.role == Role.ACTIVE,
            Prediction.recalled_at.is_(None),
            ~confirmed,
        )
    )
    few = search.are_few(open_ones)
    if few:
        found = found.where(Delivery.id.in_(open_ones))
    else:
        found = found.where(Delivery.destination.in_(destinations), Delivery.state.in_(_OPEN))
    if chosen.unconfirmed:
        search.among(Study.id, found, few=few)
    else:
        search.where(~found.where(ResultObject.study_id == Study.id).correlate(Study).exists())


def _open_deliveries(destinations: Sequence[str]) -> Select[int]:
    """Ids of what is not confirmed there, of each kind no more than are few.

    Each state at each destination by itself and in order, which an index has: PostgreSQL takes states and destinations
    for independent, and would expect a third of the table.
    """
    of_each = [
        select(Delivery.id)
        .where(Delivery.destination == destination, Delivery.state == state)
        .order_by(Delivery.id)
        .limit(FEW)
        .subquery()
        for destination in destinations
        for state in _OPEN
    ]
    if not of_each:
        return select(Delivery.id).where(false())
    found = union_all(*(select(each.c.id) for each in of_each)).subquery()
    return select(found.c.id).limit(2 * FEW)  # some may have come since they were counted


def object_destinations(session: Session) -> list[str]:
    """Where DICOM objects were ever to go. A destination takes objects or messages, never both."""
    names = distinct_values(session, Delivery.destination)
    some = select(ResultObject.sop_class_uid).join(ResultObject.deliveries).limit(1)
    return [name for name in names if session.scalar(some.where(Delivery.destination == name))]
