"""``/v1/predictions``: what was said, by which model, and whether the PACS has it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from api import examples
from api.list_queries import PredictionQuery
from api.masking import for_caller
from api.parameters import RowId
from api.schemas import PredictionDetail, PredictionPage, PredictionSummary
from api.security import Reader, record_read
from api.state import DatabaseOfApp
from audit.queries import count_predictions, delivery_states, find_predictions, get_prediction, key_of

router = APIRouter(prefix="/v1/predictions", tags=["audit"])


@router.get(
    "",
    summary="List predictions",
    responses=examples.answers(examples.PREDICTION_PAGE, *examples.OF_A_LIST),
)
def list_predictions(
    database: DatabaseOfApp, caller: Reader, query: Annotated[PredictionQuery, Query()]
) -> PredictionPage:
    """All filters that are given must hold. Rows that arrive while you page move nothing: newest first, they stand
    before the first page; oldest first, they follow on the last."""
    query.refuse_searching_for_patients(caller)
    page = query.page
    with database.read() as session:
        rows = find_predictions(session, query.chosen, page)
        states = delivery_states(session, [row.id for row in rows])
        total = count_predictions(session, query.chosen, query.sort) if query.count else None
    shown, next_cursor = query.cut(rows, lambda row: key_of(row, query.sort))
    record_read(database, caller, subject=query.study_instance_uid or "", filters=query.for_the_record, rows=len(shown))
    answer = PredictionPage(
        items=[PredictionSummary.of(row, states[row.id]) for row in shown],
        next=next_cursor,
        total=total,
    )
    return for_caller(answer, caller)


@router.get(
    "/{prediction_id}",
    summary="Everything about one prediction",
    responses=examples.answers(examples.PREDICTION, *examples.OF_ONE),
)
def show_prediction(
    database: DatabaseOfApp, caller: Reader, prediction_id: Annotated[RowId, Path()]
) -> PredictionDetail:
    with database.read() as session:
        row = get_prediction(session, prediction_id)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no prediction {prediction_id}.")
    record_read(database, caller, subject=row.instance.sop_instance_uid, prediction=prediction_id)
    return for_caller(PredictionDetail.of_row(row), caller)
