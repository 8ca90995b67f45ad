"""Studies as lists and pages show them: with images that wait, and with what is known to lie where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session, raiseload, selectinload

from audit.listing import Page, Search
from audit.models import (
    Delivery,
    Instance,
    Job,
    JobState,
    Prediction,
    ResultObject,
    Role,
    Source,
    Study,
    Upload,
)
from audit.queries import WHOLE
from audit.study_filter import StudyFilter, narrow_studies
from core.records import DeliveryState, Outcome, ResultKind


@dataclass(frozen=True, slots=True)
class ListedStudy:
    row: Study
    images: int
    unfinished: int
    """Images without an outcome."""
    uploads: int
    sources: tuple[str, ...]
    outcomes: Counter[Outcome]
    """Of the answers that stand."""
    recalled: int
    """Answers that were withdrawn."""
    highest_probability: float | None
    deliveries: dict[str, Counter[DeliveryState]]
    """Of DICOM objects that stand, by destination."""


def find_studies(session: Session, chosen: StudyFilter, page: Page) -> list[ListedStudy]:
    return _listed(session, _search(session, chosen).page(Study.first_received_at, page))


def count_studies(session: Session, chosen: StudyFilter) -> int:
    return _search(session, chosen).count()


def _search(session: Session, chosen: StudyFilter) -> Search:
    search = Search(session, Study.id)
    narrow_studies(session, search, chosen)
    return search


def get_study(session: Session, study_instance_uid: str) -> Study | None:
    """With every instance received, analysed or not, in the order of arrival; nothing of models in shadow."""
    found = load_studies(session, select(Study.id).where(Study.study_instance_uid == study_instance_uid))
    return found[0] if found else None


def load_studies(session: Session, ids: Select[int] | Sequence[int]) -> list[Study]:
    """Whole, as ``get_study`` gives them, the newest first."""
    instances = selectinload(Study.instances)
    predictions = instances.selectinload(Instance.predictions.and_(Prediction.role == Role.ACTIVE))
    statement = (
        select(Study)
        .where(Study.id.in_(ids))
        .order_by(Study.first_received_at.desc(), Study.id.desc())
        .options(
            instances.joinedload(Instance.job, innerjoin=True),
            instances.joinedload(Instance.source, innerjoin=True),
            instances.joinedload(Instance.upload),
            predictions.joinedload(Prediction.model_version, innerjoin=True),
            predictions.options(*WHOLE),
            raiseload("*"),
        )
    )
    return list(session.scalars(statement))


def results_about_studies(session: Session, study_ids: Sequence[int]) -> dict[int, list[ResultObject]]:
    """What is said about each study as a whole, rejection notes among it, with its deliveries, oldest first."""
    found: defaultdict[int, list[ResultObject]] = defaultdict(list)
    statement = (
        select(ResultObject)
        .where(ResultObject.study_id.in_(study_ids), ResultObject.prediction_id.is_(None))
        .order_by(ResultObject.id)
        .options(selectinload(ResultObject.deliveries), raiseload("*"))
    )
    for result in session.scalars(statement):
        found[result.study_id].append(result)
    return found


def _listed(session: Session, ids: Sequence[int]) -> list[ListedStudy]:
    rows = {row.id: row for row in session.scalars(select(Study).where(Study.id.in_(ids)).options(raiseload("*")))}
    sources, images, unfinished, uploads = _images(session, ids)
    outcomes, recalled, highest = _answers(session, ids)
    deliveries = _deliveries(session, ids)
    return [
        ListedStudy(
            row=rows[each],
            images=images[each],
            unfinished=unfinished[each],
            uploads=uploads[each],
            sources=tuple(sorted(sources[each])),
            outcomes=outcomes[each],
            recalled=recalled[each],
            highest_probability=highest.get(each),
            deliveries=deliveries[each],
        )
        for each in ids
        if each in rows
    ]


def _images(
    session: Session, ids: Sequence[int]
) -> tuple[dict[int, set[str]], Counter[int], Counter[int], Counter[int]]:
    statement = (
        select(Instance.study_id, Source.name, Job.state, func.count(), func.count(Upload.id))
        .join(Instance.source)
        .join(Instance.job)
        .outerjoin(Instance.upload)
        .where(Instance.study_id.in_(ids))
        .group_by(Instance.study_id, Source.name, Job.state)
    )
    sources: defaultdict[int, set[str]] = defaultdict(set)
    images, unfinished, uploads = Counter[int](), Counter[int](), Counter[int]()
    for study_id, source, state, number, uploaded in session.execute(statement):
        sources[study_id].add(source)
        images[study_id] += number
        uploads[study_id] += uploaded
        if state is JobState.PENDING:
            unfinished[study_id] += number
    return sources, images, unfinished, uploads


def _answers(
    session: Session, ids: Sequence[int]
) -> tuple[dict[int, Counter[Outcome]], Counter[int], dict[int, float]]:
    statement = (
        select(
            Instance.study_id,
            Prediction.outcome,
            Prediction.recalled_at.is_not(None),
            func.count(),
            func.max(Prediction.probability),
        )
        .join(Prediction.instance)
        .where(Instance.study_id.in_(ids), Prediction.role == Role.ACTIVE)
        .group_by(Instance.study_id, Prediction.outcome, Prediction.recalled_at.is_not(None))
    )
    outcomes: defaultdict[int, Counter[Outcome]] = defaultdict(Counter)
    recalled, highest = Counter[int](), dict[int, float]()
    for study_id, outcome, withdrawn, number, probability in session.execute(statement):
        if withdrawn:
            recalled[study_id] += number
            continue
        outcomes[study_id][outcome] += number
        if probability is not None:
            highest[study_id] = max(probability, highest.get(study_id, 0.0))
    return outcomes, recalled, highest


def _deliveries(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Counter[DeliveryState]]]:
    stands = or_(
        and_(ResultObject.prediction_id.is_(None), ResultObject.kind != ResultKind.REJECTION_NOTE),
        and_(Prediction.recalled_at.is_(None), Prediction.role == Role.ACTIVE),
    )
    statement = (
        select(ResultObject.study_id, Delivery.destination, Delivery.state, func.count())
        .join(ResultObject.deliveries)
        .outerjoin(ResultObject.prediction)
        .where(ResultObject.study_id.in_(ids), ResultObject.sop_class_uid != "", stands)
        .group_by(ResultObject.study_id, Delivery.destination, Delivery.state)
        .order_by(Delivery.destination)
    )
    found: defaultdict[int, dict[str, Counter[DeliveryState]]] = defaultdict(dict)
    for study_id, destination, state, number in session.execute(statement):
        found[study_id].setdefault(destination, Counter())[state] += number
    return found
