"""``/v1/feedback``: what readers say of predictions, and how often they found them right."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query

from api import examples, feedback_examples
from api.feedback_documents import (
    FeedbackItem,
    FeedbackOfPrediction,
    FeedbackPage,
    FeedbackQuery,
    FeedbackReport,
    FiguresQuery,
    ModelFigures,
    NewFeedback,
)
from api.masking import for_caller
from api.parameters import RowId
from api.problems import Code, Refusal
from api.security import FeedbackWriter, Reader, record_read
from api.state import DatabaseOfApp
from audit import feedback
from audit.feedback_figures import in_all_sources, read_feedback_figures

router = APIRouter(prefix="/v1", tags=["feedback"])

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def _created() -> dict[int | str, dict[str, Any]]:
    documents = examples.answers(
        feedback_examples.FEEDBACK,
        *_REFUSED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    documents[HTTPStatus.CREATED.value] = documents.pop(HTTPStatus.OK.value)
    return documents


@router.post(
    "/predictions/{prediction_id}/feedback",
    summary="Say whether a prediction is right",
    status_code=HTTPStatus.CREATED,
    responses=_created(),
)
def give_feedback(
    database: DatabaseOfApp, caller: FeedbackWriter, prediction_id: Annotated[RowId, Path()], body: NewFeedback
) -> FeedbackItem:
    """Nothing is ever changed: another word of the same reader stands in place of the one before.

    Answered 409 where the image was not judged, and where its study was erased.
    """
    try:
        with database.write() as session:
            given = feedback.give_feedback(
                session,
                prediction_id,
                agreement=body.agreement,
                true_label=body.true_label,
                comment=body.comment,
                reader=body.reader or caller.name,
                principal=caller.name,
            )
            written = None if given is None else feedback.get_feedback(session, given.id)
    except (feedback.NotJudged, feedback.StudyErased) as exc:
        raise Refusal(HTTPStatus.CONFLICT, Code.CONFLICT, f"{exc}.") from exc
    except feedback.Contradiction as exc:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, f"{exc}.") from exc
    if written is None:
        raise _no_such_prediction(prediction_id)
    return for_caller(FeedbackItem.of(written), caller)


@router.get(
    "/predictions/{prediction_id}/feedback",
    summary="What readers say of one prediction",
    responses=examples.answers(
        feedback_examples.FEEDBACK_OF_PREDICTION, *_REFUSED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def show_feedback(
    database: DatabaseOfApp, caller: Reader, prediction_id: Annotated[RowId, Path()]
) -> FeedbackOfPrediction:
    with database.read() as session:
        rows = feedback.feedback_of(session, prediction_id)
    if rows is None:
        raise _no_such_prediction(prediction_id)
    document = FeedbackOfPrediction(items=[FeedbackItem.of(row) for row in rows])
    if document.items:
        subject = document.items[0].sop_instance_uid
        record_read(database, caller, subject=subject, prediction=prediction_id, rows=len(rows))
    return for_caller(document, caller)


@router.get(
    "/feedback",
    summary="List feedback, newest first",
    responses=examples.answers(feedback_examples.FEEDBACK_PAGE, *_REFUSED, HTTPStatus.UNPROCESSABLE_ENTITY),
)
def list_feedback(database: DatabaseOfApp, caller: Reader, query: Annotated[FeedbackQuery, Query()]) -> FeedbackPage:
    """All filters that are given must hold. Rows that arrive while you page stand before the first page."""
    with database.read() as session:
        rows = feedback.find_feedback(session, query.chosen, limit=query.limit + 1, after=query.after)
    shown, next_cursor = query.cut(rows, lambda row: (row.feedback.created_at, row.feedback.id))
    record_read(database, caller, filters=query.for_the_record, rows=len(shown))
    return for_caller(FeedbackPage(items=[FeedbackItem.of(row) for row in shown], next=next_cursor), caller)


@router.get(
    "/feedback/figures",
    summary="How often readers found the models right",
    responses=examples.answers(feedback_examples.FEEDBACK_REPORT, *_REFUSED, HTTPStatus.UNPROCESSABLE_ENTITY),
)
def show_figures(database: DatabaseOfApp, _caller: Reader, query: Annotated[FiguresQuery, Query()]) -> FeedbackReport:
    """Counted over standing positive and negative predictions. The truth of an image is what its readers say last.

    The caution in the answer belongs to the figures wherever they are shown.
    """
    with database.read() as session:
        rows = read_feedback_figures(session, **query.model_dump())
    return FeedbackReport(
        models=[ModelFigures.of_all_sources(*total) for total in in_all_sources(rows)],
        sources=[ModelFigures.of(row) for row in rows],
    )


def _no_such_prediction(prediction_id: int) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, f"There is no prediction {prediction_id}.")
