"""Withdrawing what a model said: its results found, marked, and kept back where they have not gone out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, Update, and_, func, select, update
from sqlalchemy.orm import Session, contains_eager, raiseload, selectinload

from audit.deliveries import RECALLED
from audit.events import record_event
from audit.model_versions import find_version, list_versions
from audit.models import (
    Delivery,
    Instance,
    ModelState,
    ModelVersion,
    Prediction,
    ResultObject,
    Role,
    Study,
    now,
)
from core.records import DeliveryState

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Recall:
    """The results of one model version that were made in some time; None leaves that side open."""

    version_id: int
    made_from: datetime | None = None
    made_before: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        yield Prediction.model_version_id == self.version_id
        yield Prediction.role == Role.ACTIVE
        if self.made_from is not None:
            yield Prediction.created_at >= self.made_from
        if self.made_before is not None:
            yield Prediction.created_at < self.made_before


def find_model(session: Session, words: str) -> ModelVersion:
    """By version, by ``NAME@VERSION`` or by the beginning of a Device UID.

    Raises:
        ValueError: no model, or more than one, is meant.
    """
    found = [version for version in list_versions(session) if version.version == words]
    if len(found) > 1:
        several = ", ".join(f"{row.name}@{row.version} {row.device_uid}" for row in found)
        raise ValueError(f"{len(found)} models have the version {words}, give the Device UID: {several}")
    return found[0] if found else find_version(session, words)


@dataclass(frozen=True, slots=True)
class RecallCounts:
    studies: int
    images: int
    recalled: int
    """Images whose result is marked."""
    outcomes: dict[str, int]
    objects: dict[str, int]
    """By kind."""
    destinations: dict[str, Counter[str]]
    """Deliveries by destination and state. ``under_way`` is pending in a worker's hands, ``stopped`` dead by recall."""


def count_results(session: Session, recall: Recall) -> RecallCounts:
    where = tuple(recall.conditions())
    studies, images, recalled = session.execute(
        select(func.count(Instance.study_id.distinct()), func.count(), func.count(Prediction.recalled_at))
        .select_from(Prediction)
        .join(Prediction.instance)
        .where(*where)
    ).one()
    outcomes = session.execute(select(Prediction.outcome, func.count()).where(*where).group_by(Prediction.outcome))
    objects = session.execute(
        select(ResultObject.kind, func.count()).join(Prediction).where(*where).group_by(ResultObject.kind)
    )
    state = (Delivery.destination, Delivery.state, _is_held_by_a_worker(now()), Delivery.last_error == RECALLED)
    destinations: dict[str, Counter[str]] = {}
    for name, word, leased, stopped, count in session.execute(
        select(*state, func.count())
        .join(ResultObject, Delivery.result_object_id == ResultObject.id)
        .join(Prediction)
        .where(*where)
        .group_by(*state)
        .order_by(Delivery.destination)
    ):
        counts = destinations.setdefault(name, Counter())
        counts["under_way" if leased else "stopped" if stopped else word.value] += count
    return RecallCounts(
        studies,
        images,
        recalled,
        {outcome.value: count for outcome, count in outcomes},
        {kind.value: count for kind, count in objects},
        destinations,
    )


def find_results(session: Session, recall: Recall) -> Iterator[Prediction]:
    """Oldest first, with instance, study, result objects and deliveries."""
    last = 0
    while page := session.scalars(_results(recall).where(Prediction.id > last).limit(_AT_ONCE)).all():
        yield from page
        last = page[-1].id
        session.expunge_all()


def _results(recall: Recall) -> Select[Prediction]:
    return (
        select(Prediction)
        .join(Prediction.instance)
        .join(Instance.study)
        .where(*recall.conditions())
        .order_by(Prediction.id)
        .options(
            contains_eager(Prediction.instance).contains_eager(Instance.study),
            selectinload(Prediction.result_objects).selectinload(ResultObject.deliveries),
            raiseload("*"),
        )
    )


def studies_of(session: Session, recall: Recall) -> list[int]:
    """Ids of the studies that have such a result, to be worked on some hundred at a time."""
    ids = select(Instance.study_id).join(Instance.predictions).where(*recall.conditions()).distinct()
    return list(session.scalars(ids.order_by(Instance.study_id)))


@dataclass(frozen=True, slots=True)
class Marked:
    images: int = 0
    """Marked now; those of an earlier call are not counted again."""
    stopped: int = 0
    under_way: int = 0
    """Deliveries left to the worker that holds them."""

    def __add__(self, other: Marked) -> Marked:
        return Marked(self.images + other.images, self.stopped + other.stopped, self.under_way + other.under_way)


def mark_recalled(session: Session, recall: Recall, study_ids: Sequence[int], actor: str) -> Marked:
    """Mark these studies' results and stop what has not gone out.

    A delivery under a running lease is left alone: whatever its worker writes holds. What was sent is asked for no
    more, since an archive that lost it shall not get it again.

    Raises:
        ValueError: it is the active model, whose next result would be unmarked.
    """
    version = session.get_one(ModelVersion, recall.version_id)
    if version.state is ModelState.ACTIVE:
        raise ValueError(f"{version.name}@{version.version} is the active model: activate another one first")
    studies = lock_studies(session, study_ids)
    return withdraw(session, tuple(recall.conditions()), studies, actor, version.device_uid)


def withdraw(
    session: Session, which: Sequence[ColumnElement[bool]], studies: Mapping[int, str], actor: str, device_uid: str
) -> Marked:
    """Mark one model's predictions in locked studies, and stop what has not gone out; what that means, see above.

    Args:
        which: conditions on ``Prediction``.
        studies: Study Instance UIDs by id.
    """
    at = now()
    unmarked = select(Prediction.id, Instance.study_id).join(Prediction.instance)
    fresh = session.execute(
        unmarked.where(*which, Instance.study_id.in_(studies), Prediction.recalled_at.is_(None))
    ).all()
    change(session, update(Prediction).where(Prediction.id.in_([row.id for row in fresh])), recalled_at=at)
    of_these = (
        select(Delivery.id, ResultObject.study_id)
        .join(ResultObject, Delivery.result_object_id == ResultObject.id)
        .join(Prediction)
        .where(*which, ResultObject.study_id.in_(studies))
        .order_by(Delivery.id)
    )
    pending = Delivery.state == DeliveryState.PENDING
    # A row that somebody else has locked is being claimed or settled: it is under way.
    free = of_these.where(pending, ~_is_held_by_a_worker(at)).with_for_update(skip_locked=True, of=Delivery)
    stopped = session.execute(free).all()
    change(
        session, update(Delivery).where(Delivery.id.in_([row.id for row in stopped])),
        state=DeliveryState.DEAD, last_error=RECALLED, token=None, lease_until=None, confirm_at=None,
    )  # fmt: skip
    asked_for = session.execute(
        of_these.where(Delivery.state == DeliveryState.SENT, Delivery.confirm_at.is_not(None))
    ).all()
    change(
        session, update(Delivery).where(Delivery.id.in_([row.id for row in asked_for])),
        token=None, lease_until=None, confirm_at=None, transaction_uid=None,
    )  # fmt: skip
    under_way = Counter(row.study_id for row in session.execute(of_these.where(pending)))
    ended = Counter(row.study_id for row in stopped)
    withdrawn: dict[int, list[int]] = defaultdict(list)
    for row in fresh:
        withdrawn[row.study_id].append(row.id)
    for study_id in sorted(withdrawn.keys() | ended):
        ids = sorted(withdrawn[study_id])
        record_event(
            session, "prediction.recalled", subject=studies[study_id], actor=actor, device_uid=device_uid,
            images=len(ids), withdrawn=ids, stopped=ended[study_id], under_way=under_way[study_id],
        )  # fmt: skip
    return Marked(len(fresh), len(stopped), under_way.total())


def record_recall(session: Session, recall: Recall, actor: str, **counts: object) -> None:
    """Who withdrew what, once all of its studies are done; ``counts`` as the commands print them."""
    version = session.get_one(ModelVersion, recall.version_id)
    record_event(
        session, "model.recalled", subject=version.device_uid, actor=actor, name=version.name, version=version.version,
        made_from=recall.made_from and recall.made_from.isoformat(),
        made_before=recall.made_before and recall.made_before.isoformat(),
        **counts,
    )  # fmt: skip


def lock_studies(session: Session, study_ids: Sequence[int]) -> dict[int, str]:
    """Study Instance UIDs by id. Who holds a study's row holds its results: they are not let go, no image comes in."""
    rows = select(Study.id, Study.study_instance_uid).where(Study.id.in_(study_ids)).order_by(Study.id)
    return dict(session.execute(rows.with_for_update()).all())


def _is_held_by_a_worker(at: datetime) -> ColumnElement[bool]:
    leased = and_(Delivery.lease_until.is_not(None), Delivery.lease_until >= at)
    return and_(Delivery.state == DeliveryState.PENDING, leased)


def change(session: Session, statement: Update, **values: object) -> None:
    """Rows of some hundred ids; what the session has read of them is stale afterwards."""
    session.execute(statement.values(**values).execution_options(synchronize_session=False))
