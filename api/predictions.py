"""``/v1/predictions``: what was said, by which model, and whether the PACS has it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from api import examples
from api.cursors import encode_cursor
from api.parameters import PredictionQuery, RowId
from api.schemas import PredictionDetail, PredictionPage, PredictionSummary
from api.security import Authenticated, record_read
from api.state import DatabaseOfApp
from audit.queries import find_predictions, get_prediction

router = APIRouter(prefix="/v1/predictions", tags=["audit"])


@router.get(
    "",
    summary="List predictions, newest first",
    responses=examples.answers(examples.PREDICTION_PAGE, HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY),
)
def list_predictions(
    database: DatabaseOfApp, caller: Authenticated, query: Annotated[PredictionQuery, Query()]
) -> PredictionPage:
    """All filters that are given must hold. Rows that arrive while you page stand before the first page."""
    with database.read() as session:
        rows = find_predictions(session, query.chosen, limit=query.limit + 1, after=query.after)
    shown = rows[: query.limit]
    record_read(
        database, caller, subject=query.study_instance_uid or "", filters=query.without_patient, rows=len(shown)
    )
    return PredictionPage(
        items=[PredictionSummary.of(row) for row in shown],
        next=encode_cursor(shown[-1].created_at, shown[-1].id) if len(rows) > len(shown) else None,
    )


@router.get(
    "/{prediction_id}",
    summary="Everything about one prediction",
    responses=examples.answers(
        examples.PREDICTION, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def show_prediction(
    database: DatabaseOfApp, caller: Authenticated, prediction_id: Annotated[RowId, Path()]
) -> PredictionDetail:
    with database.read() as session:
        row = get_prediction(session, prediction_id)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no prediction {prediction_id}.")
    record_read(database, caller, subject=row.instance.sop_instance_uid, prediction=prediction_id)
    return PredictionDetail.of_row(row)
