"""``/v1/instances``: images as received, and what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import examples, list_examples
from api.list_queries import InstanceQuery
from api.masking import for_caller
from api.security import Reader, record_read
from api.state import DatabaseOfApp
from api.study_documents import InstancePage, InstanceSummary
from audit.instance_listing import count_instances, find_instances

router = APIRouter(prefix="/v1/instances", tags=["audit"])


@router.get(
    "",
    summary="List images, by when they came",
    responses=examples.answers(list_examples.INSTANCE_PAGE, *examples.OF_A_LIST),
)
def list_instances(database: DatabaseOfApp, caller: Reader, query: Annotated[InstanceQuery, Query()]) -> InstancePage:
    """Filters that tell of predictions must hold for one prediction of the image."""
    query.refuse_searching_for_patients(caller)
    page = query.page
    with database.read() as session:
        rows = find_instances(session, query.chosen, page)
        total = count_instances(session, query.chosen) if query.count else None
    shown, next_cursor = query.cut(rows, lambda row: (row.received_at, row.id))
    record_read(database, caller, subject=query.study_instance_uid or "", filters=query.for_the_record, rows=len(shown))
    answer = InstancePage(
        items=[InstanceSummary.of_row(row) for row in shown],
        next=next_cursor,
        total=total,
    )
    return for_caller(answer, caller)
