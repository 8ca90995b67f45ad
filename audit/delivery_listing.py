"""Deliveries and what has ended badly, as lists show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased, joinedload, raiseload

from audit.deliveries import DeliveryFilter, select_deliveries
from audit.listing import Page, Search, Sort
from audit.models import Delivery, Instance, Prediction, ResultObject, Study
from core.records import DeliveryState, ResultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryChoice:
    """All that are given must hold; None means any."""

    state: DeliveryState | None = None
    destination: str | None = None
    kind: ResultKind | None = None
    last_error: str | None = None
    since: datetime | None = None
    """Of results made then or later."""
    before: datetime | None = None
    sop_instance_uid: str | None = None
    """Of the result, or of the image it is about."""
    study_instance_uid: str | None = None


def find_deliveries(session: Session, chosen: DeliveryFilter, limit: int) -> list[Delivery]:
    """Newest first, each with its result object."""
    newest_first = select_deliveries(chosen).order_by(None).order_by(Delivery.id.desc())
    return list(session.scalars(newest_first.limit(limit)))


def list_deliveries(session: Session, chosen: DeliveryChoice, page: Page) -> list[Delivery]:
    """With result object and study."""
    return load_deliveries(session, _search(session, chosen).page(Delivery.id, page), page.sort)


def count_deliveries(session: Session, chosen: DeliveryChoice) -> int:
    return _search(session, chosen).count()


def load_deliveries(session: Session, ids: Sequence[int], sort: Sort = Sort.NEWEST) -> list[Delivery]:
    statement = (
        select(Delivery)
        .where(Delivery.id.in_(ids))
        .order_by(Delivery.id.desc() if sort.descends else Delivery.id)
        .options(
            joinedload(Delivery.result_object, innerjoin=True).joinedload(ResultObject.study, innerjoin=True),
            raiseload("*"),
        )
    )
    return list(session.scalars(statement))


def _search(session: Session, chosen: DeliveryChoice) -> Search:
    search = Search(session, Delivery.id)
    if chosen.state is not None:  # an index has each state in order, alone and at each destination
        search.where(Delivery.state == chosen.state)
        if chosen.destination is not None:
            search.where(Delivery.destination == chosen.destination)
    elif chosen.destination is not None:
        there = aliased(Delivery, name="there")
        search.among(Delivery.id, select(there.id).where(there.destination == chosen.destination))
    if chosen.last_error is not None:
        search.where(Delivery.last_error == chosen.last_error)
    about = list(_of_results(chosen))
    if about:
        search.among(Delivery.result_object_id, select(ResultObject.id).where(*about))
    return search


def _of_results(chosen: DeliveryChoice) -> Iterator[ColumnElement[bool]]:
    if chosen.kind is not None:
        yield ResultObject.kind == chosen.kind
    if chosen.since is not None:
        yield ResultObject.created_at >= chosen.since
    if chosen.before is not None:
        yield ResultObject.created_at < chosen.before
    if chosen.sop_instance_uid is not None:
        image = select(Prediction.id).join(Prediction.instance)
        yield (ResultObject.sop_instance_uid == chosen.sop_instance_uid) | ResultObject.prediction_id.in_(
            image.where(Instance.sop_instance_uid == chosen.sop_instance_uid)
        )
    if chosen.study_instance_uid is not None:
        yield ResultObject.study_id.in_(select(Study.id).where(Study.study_instance_uid == chosen.study_instance_uid))
