"""``/v1/deliveries``: each result at each destination."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, list_examples
from api.delivery_documents import DeliveryLine, DeliveryPage
from api.list_queries import DeliveryQuery
from api.security import Reader
from api.state import DatabaseOfApp
from audit.delivery_listing import count_deliveries, list_deliveries

router = APIRouter(prefix="/v1/deliveries", tags=["audit"])


@router.get(
    "",
    summary="List deliveries",
    responses=examples.answers(list_examples.DELIVERY_PAGE, *examples.OF_A_LIST),
)
def list_all_deliveries(
    database: DatabaseOfApp, _caller: Reader, query: Annotated[DeliveryQuery, Query()]
) -> DeliveryPage:
    """In the order they were made. They hold UIDs and codes, nothing of a patient: reading them is no event."""
    page = query.page
    with database.read() as session:
        rows = list_deliveries(session, query.chosen, page)
        total = count_deliveries(session, query.chosen) if query.count else None
    shown, next_cursor = query.cut(rows, lambda row: (row.result_object.created_at, row.id))
    return DeliveryPage(
        items=[DeliveryLine.of_row(row) for row in shown],
        next=next_cursor,
        total=total,
    )
