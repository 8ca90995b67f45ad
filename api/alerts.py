"""``/v1/alerts``: what calls for a person now, and what did."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.parameters import PageQuery
from api.security import Reader
from api.state import DatabaseOfApp
from api.watch import WatchOfApp
from audit.alerts import AlertCode, find_alerts, open_alerts

router = APIRouter(prefix="/v1/alerts", tags=["operation"])


class Alert(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: int
    code: AlertCode
    subject: str = Field(description="The destination, source or queue it is about; empty when there is none.")
    detail: str
    opened_at: datetime
    closed_at: datetime | None = Field(description="When it was seen to be over; null while it holds.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str


class AlertPage(BaseModel):
    items: list[Alert]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Which(StrEnum):
    OPEN = "open"
    ALL = "all"


class AlertQuery(PageQuery):
    state: Which = Field(Which.OPEN, description="`all` lists those that are over as well, newest first.")


_EXAMPLE = AlertPage(
    items=[
        Alert(
            id=7,
            code=AlertCode.PACS_DOWN,
            subject="main-pacs",
            detail="4 results could not be sent, the oldest for 40 minutes (last: connection_refused).",
            opened_at=datetime(2026, 3, 2, 8, 55, tzinfo=UTC),
            closed_at=None,
            acknowledged_at=datetime(2026, 3, 2, 9, 2, tzinfo=UTC),
            acknowledged_by="on-call",
            note="The PACS is being updated until ten.",
        )
    ],
    next=None,
)


@router.get(
    "",
    summary="List alerts",
    responses=examples.answers(
        _EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def list_alerts(
    database: DatabaseOfApp, watch: WatchOfApp, _caller: Reader, query: Annotated[AlertQuery, Query()]
) -> AlertPage:
    """Alerts are looked for as you ask. The open ones come all on one page, oldest first."""
    after = query.after
    watch.settle()
    with database.read() as session:
        if query.state is Which.OPEN:
            return AlertPage(items=[Alert.model_validate(row) for row in open_alerts(session)], next=None)
        rows = find_alerts(session, limit=query.limit + 1, before_id=after[1] if after else None)
    shown, next_cursor = query.cut(rows, lambda row: (row.opened_at, row.id))
    return AlertPage(items=[Alert.model_validate(row) for row in shown], next=next_cursor)
