"""What readers say of predictions: written once, never changed. A reader's later word stands in place of an earlier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, literal, select, tuple_
from sqlalchemy.orm import Session, aliased, contains_eager, raiseload

from audit.chain import moment
from audit.events import record_event
from audit.listing import PageKey
from audit.models import Agreement, Feedback, Instance, ModelVersion, Prediction, Source, Study, TrueLabel, UTCDateTime
from core.records import Outcome

JUDGED = (Outcome.POSITIVE, Outcome.NEGATIVE)
_SAID = {Outcome.POSITIVE: TrueLabel.PNEUMONIA, Outcome.NEGATIVE: TrueLabel.NO_PNEUMONIA}


class NotJudged(ValueError):
    """The model gave no answer that could be right or wrong."""


class StudyErased(ValueError):
    """What told of the patient is gone, and a comment could bring it back where nothing erases it any more."""


class Contradiction(ValueError):
    """Agreement and true label cannot both hold."""


def give_feedback(
    session: Session,
    prediction_id: int,
    *,
    agreement: Agreement,
    true_label: TrueLabel | None = None,
    comment: str = "",
    reader: str,
    principal: str,
) -> Feedback | None:
    """None where there is no such prediction. The comment stays out of the event: people write names in comments.

    A recalled prediction takes feedback as well: what the image shows does not depend on the model.

    Raises:
        NotJudged: the image was not analysed, or its analysis failed.
        StudyErased: the study of the image was erased.
        Contradiction: who agrees with the model names the other label, or who disagrees its own.
    """
    # Locked, or an erasure under way would not see the comment that comes meanwhile.
    found = session.execute(
        select(Prediction.outcome, Instance.sop_instance_uid, Study.erased_at)
        .join(Prediction.instance)
        .join(Instance.study)
        .where(Prediction.id == prediction_id)
        .with_for_update(read=True, of=Study)
    ).one_or_none()
    if found is None:
        return None
    outcome, sop_instance_uid, erased_at = found
    if erased_at is not None:
        raise StudyErased(f"the study of prediction {prediction_id} was erased: it takes no feedback any more")
    if outcome not in JUDGED:
        raise NotJudged(f"prediction {prediction_id} is {outcome}: there is no answer to agree with")
    decided = true_label is not None and agreement is not Agreement.UNSURE
    if decided and (true_label is _SAID[outcome]) != (agreement is Agreement.AGREE):
        raise Contradiction(f"the model said {_SAID[outcome]}: {agreement} does not go with {true_label}")
    given = Feedback(
        prediction_id=prediction_id,
        agreement=agreement,
        true_label=true_label,
        comment=comment,
        reader=reader,
        principal=principal,
    )
    session.add(given)
    session.flush()
    record_event(
        session,
        "feedback.given",
        subject=sop_instance_uid,
        actor=principal,
        feedback=given.id,
        prediction=prediction_id,
        agreement=agreement,
        true_label=true_label,
        reader=reader,
        created_at=moment(given.created_at),
    )
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackFilter:
    """All that are given must hold; None means any. ``..._from`` is inside its range, ``..._before`` is not."""

    prediction_id: int | None = None
    agreement: Agreement | None = None
    true_label: TrueLabel | None = None
    reader: str | None = None
    stands: bool | None = None
    """False: only what a later word of the same reader has replaced."""
    model: str | None = None
    """Name or Device UID."""
    source: str | None = None
    received_from: datetime | None = None
    received_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    feedback: Feedback
    """With prediction, instance, source and model."""
    stands: bool
    """The same reader has said nothing of the same prediction since."""


def feedback_of(session: Session, prediction_id: int) -> list[GivenFeedback] | None:
    """Newest first; None where there is no such prediction."""
    if session.scalar(select(Prediction.id).where(Prediction.id == prediction_id)) is None:
        return None
    return find_feedback(session, FeedbackFilter(prediction_id=prediction_id))


def get_feedback(session: Session, feedback_id: int) -> GivenFeedback:
    """Raises NoResultFound where there is none."""
    feedback, standing = session.execute(_given().where(Feedback.id == feedback_id)).one()
    return GivenFeedback(feedback, standing)


def find_feedback(
    session: Session, chosen: FeedbackFilter, *, limit: int | None = None, after: PageKey | None = None
) -> list[GivenFeedback]:
    """Newest first; ``after`` is the key of the last row of the page before."""
    statement = (
        _given().where(*_conditions(chosen)).order_by(Feedback.created_at.desc(), Feedback.id.desc()).limit(limit)
    )
    if after is not None:
        created_at, last_id = after
        place = tuple_(literal(created_at, UTCDateTime()), literal(last_id))
        statement = statement.where(tuple_(Feedback.created_at, Feedback.id) < place)
    return [GivenFeedback(feedback, standing) for feedback, standing in session.execute(statement)]


def _given() -> Select[Feedback, bool]:
    prediction = contains_eager(Feedback.prediction)
    return (
        select(Feedback, stands())
        .join(Feedback.prediction)
        .join(Prediction.instance)
        .join(Instance.source)
        .join(Prediction.model_version)
        .options(
            prediction.contains_eager(Prediction.instance).contains_eager(Instance.source),
            prediction.contains_eager(Prediction.model_version),
            raiseload("*"),
        )
    )


def stands() -> ColumnElement[bool]:
    later = aliased(Feedback)
    return ~exists().where(
        later.prediction_id == Feedback.prediction_id, later.reader == Feedback.reader, later.id > Feedback.id
    )


def _conditions(chosen: FeedbackFilter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (Feedback.prediction_id, chosen.prediction_id),
        (Feedback.agreement, chosen.agreement),
        (Feedback.true_label, chosen.true_label),
        (Feedback.reader, chosen.reader),
    ):
        if value is not None:
            yield column == value
    if chosen.stands is not None:
        yield stands() if chosen.stands else ~stands()
    yield from of_images(chosen.model, chosen.source, chosen.received_from, chosen.received_before)


def of_images(
    model: str | None, source: str | None, received_from: datetime | None, received_before: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Conditions on predictions joined with their models, images and sources."""
    if model is not None:
        yield (ModelVersion.name == model) | (ModelVersion.device_uid == model)
    if source is not None:
        yield Source.name == source
    if received_from is not None:
        yield Instance.received_at >= received_from
    if received_before is not None:
        yield Instance.received_at < received_before
