"""Images as a list shows them: said something about, or waiting."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, raiseload, selectinload

from audit.listing import Page, Search
from audit.models import Instance, Job, JobState, Prediction, Role
from audit.prediction_filter import PredictionFilter, narrow_predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter(PredictionFilter):
    """What tells of predictions must hold for one prediction of the image."""

    modality: str | None = None
    waiting: bool | None = None
    """It has no outcome."""


def find_instances(session: Session, chosen: InstanceFilter, page: Page) -> list[Instance]:
    """With study, source, upload, job, and what the models in charge have said."""
    ids = _search(session, chosen).page(Instance.received_at, page)
    statement = (
        select(Instance)
        .where(Instance.id.in_(ids))
        .options(
            joinedload(Instance.study, innerjoin=True),
            joinedload(Instance.source, innerjoin=True),
            joinedload(Instance.job, innerjoin=True),
            joinedload(Instance.upload),
            selectinload(Instance.predictions.and_(Prediction.role == Role.ACTIVE)),
            raiseload("*"),
        )
    )
    found = {row.id: row for row in session.scalars(statement)}
    return [found[each] for each in ids if each in found]


def count_instances(session: Session, chosen: InstanceFilter) -> int:
    return _search(session, chosen).count()


def _search(session: Session, chosen: InstanceFilter) -> Search:
    search = Search(session, Instance.id)
    if chosen.asks_for_predictions():
        said = Search(session, Prediction.id)
        narrow_predictions(session, said, chosen)
        search.among(Instance.id, said.selecting(Prediction.instance_id))
    else:
        chosen.narrow(session, search, Instance.id)
    if chosen.modality is not None:
        search.where(Instance.modality == chosen.modality)
    if chosen.waiting is not None:
        waiting = select(Job.instance_id).where(Job.state == JobState.PENDING)
        if chosen.waiting:
            search.among(Instance.id, waiting)
        else:
            search.where(~waiting.where(Job.instance_id == Instance.id).correlate(Instance).exists())
    return search
