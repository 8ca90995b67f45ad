"""What ended badly and stays so unless a person does something: one list of deliveries and analyses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.orm import Session, joinedload, raiseload, selectinload

from audit.deliveries import is_dead_letter
from audit.delivery_listing import load_deliveries
from audit.listing import Page, paged
from audit.models import Delivery, Instance, Job, JobState, Prediction, ResultObject, Role
from core.records import Outcome


class DeadKind(StrEnum):
    DELIVERY = "delivery"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Of a delivery; or of an image whose analysis failed, by its prediction."""

    key: int
    at: datetime
    about: Delivery | Prediction


def find_dead_letters(session: Session, kind: DeadKind | None, page: Page) -> list[DeadLetter]:
    """By when the result was made, or the analysis ended."""
    both = _both(kind).subquery()
    places = session.execute(paged(select(both.c.key, both.c.at), both.c.at, both.c.key, page)).all()
    deliveries = {row.id: row for row in load_deliveries(session, _ids(places, DeadKind.DELIVERY))}
    predictions = {row.id: row for row in _failed(session, _ids(places, DeadKind.JOB))}
    of_kind: dict[DeadKind, dict[int, Any]] = {DeadKind.DELIVERY: deliveries, DeadKind.JOB: predictions}
    return [DeadLetter(key, at, of_kind[_kind(key)][key // 2]) for key, at in places if key // 2 in of_kind[_kind(key)]]


def count_dead_letters(session: Session, kind: DeadKind | None) -> int:
    both = _both(kind).subquery()
    return session.scalar(select(func.count()).select_from(both)) or 0


def _both(kind: DeadKind | None) -> Select[int, datetime]:
    # The key tells two rows of one moment apart, of whichever table they are: the id, doubled, and one for jobs.
    deliveries = (
        select((Delivery.id * 2).label("key"), ResultObject.created_at.label("at"))
        .join(Delivery.result_object)
        .where(is_dead_letter())
    )
    jobs = (
        select((Prediction.id * 2 + literal(1)).label("key"), Prediction.created_at.label("at"))
        .join(Job, Job.instance_id == Prediction.instance_id)
        .where(
            Prediction.outcome == Outcome.FAILED,
            Prediction.role == Role.ACTIVE,
            Prediction.recalled_at.is_(None),
            Job.state == JobState.DONE,
        )
    )
    if kind is not None:
        return deliveries if kind is DeadKind.DELIVERY else jobs
    both = union_all(deliveries, jobs).subquery()
    return select(both.c.key, both.c.at)


def _kind(key: int) -> DeadKind:
    return DeadKind.JOB if key % 2 else DeadKind.DELIVERY


def _ids(places: Sequence[Any], kind: DeadKind) -> list[int]:
    return [place.key // 2 for place in places if _kind(place.key) is kind]


def _failed(session: Session, ids: Sequence[int]) -> Sequence[Prediction]:
    instance = joinedload(Prediction.instance, innerjoin=True)
    statement = (
        select(Prediction)
        .where(Prediction.id.in_(ids))
        .options(
            instance.joinedload(Instance.study, innerjoin=True),
            instance.joinedload(Instance.job, innerjoin=True),
            selectinload(Prediction.warnings),
            raiseload("*"),
        )
    )
    return session.scalars(statement).all()
