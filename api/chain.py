"""``/v1/audit/chain``: whether the audit trail is whole, as far as it was last looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.security import Reader
from api.state import DatabaseOfApp
from audit.anchors import last_anchor
from audit.chain import HEAD
from audit.models import ChainHead
from audit.verdicts import last_verdict

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class ChainEnd(BaseModel):
    model_config = ConfigDict(frozen=True)

    event_id: int = Field(description="Of the last event; 0 where there is none.")
    hash: str


class LastAnchor(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: datetime
    event_id: int


class LastVerification(BaseModel):
    model_config = ConfigDict(frozen=True)

    at: datetime
    whole: bool
    events: int
    first_bad: int | None = Field(description="Id of the first event that is wrong; null where none can be named.")
    why: str = Field(description="What is wrong with it; empty where all is well.")


class Chain(BaseModel):
    model_config = ConfigDict(frozen=True)

    events: int
    head: ChainEnd | None = Field(description="null where somebody removed it: the chain is broken.")
    last_anchor: LastAnchor | None = Field(description="When the head last went to `audit.anchor_file`.")
    last_verified: LastVerification | None = Field(description="Once a day, and whenever somebody asks `pneumo`.")


_EXAMPLE = Chain(
    events=5120,
    head=ChainEnd(event_id=5120, hash="5a1f6c" + "0" * 58),
    last_anchor=LastAnchor(at=datetime(2026, 3, 2, 8, tzinfo=UTC), event_id=5107),
    last_verified=LastVerification(
        at=datetime(2026, 3, 2, 3, 12, tzinfo=UTC), whole=True, events=4830, first_bad=None, why=""
    ),
)


@router.get(
    "/chain",
    summary="Whether anybody touched the audit trail",
    responses=examples.answers(_EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
)
def show_chain(database: DatabaseOfApp, _caller: Reader) -> Chain:
    """What is known already; verifying takes its time, and is the work of `pneumo audit verify`."""
    with database.read() as session:
        head, anchor, verdict = session.get(ChainHead, HEAD), last_anchor(session), last_verdict(session)
        return Chain(
            events=head.events if head else 0,
            head=ChainEnd(event_id=head.event_id, hash=head.hash) if head else None,
            last_anchor=LastAnchor(at=anchor[0], event_id=anchor[1]) if anchor else None,
            last_verified=LastVerification(
                at=verdict.at, whole=verdict.whole, events=verdict.events, first_bad=verdict.first_bad, why=verdict.why
            )
            if verdict
            else None,
        )
