"""``/v1/sources``: who sends images, and who was turned away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.security import Reader
from api.state import DatabaseOfApp, SettingsOfApp
from api.today import midnight
from audit.models import now
from audit.source_listing import ListedSource, RefusedCaller, find_sources, refused_callers
from core.records import Outcome
from core.settings import Source as ConfiguredSource

router = APIRouter(prefix="/v1/sources", tags=["audit"])


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Refused(_Document):
    calling_ae_title: str
    called_ae_title: str
    address: str
    cause: str = Field(description="`address_not_allowed`, `calling_ae_title_unknown` and the like.")
    count: int = Field(description="Refusals on record: the same one is written once a minute at most.")
    first_at: datetime
    last_at: datetime


class SourceSummary(_Document):
    name: str
    ae_titles: list[str] = Field(description="As configured; empty for a source that is configured no more.")
    first_seen_at: datetime | None = Field(description="Null where it never sent anything.")
    last_seen_at: datetime | None
    images_today: int = Field(description="Since midnight where the service runs.")
    images_total: int
    recent_outcomes: dict[Outcome, int] = Field(description="Of the last days asked for.")
    not_analysed_share: float | None = Field(description="Of the recent ones; null where there are none.")
    refused: list[Refused] = Field(description="Calls under its AE titles that were turned away.")

    @classmethod
    def of(cls, name: str, listed: ListedSource | None, titles: list[str], refused: list[Refused]) -> SourceSummary:
        outcomes = dict(listed.outcomes) if listed else {}
        images = sum(outcomes.values())
        return cls(
            name=name,
            ae_titles=titles,
            first_seen_at=listed.row.first_seen_at if listed else None,
            last_seen_at=listed.row.last_seen_at if listed else None,
            images_today=listed.images_today if listed else 0,
            images_total=listed.images if listed else 0,
            recent_outcomes=outcomes,
            not_analysed_share=outcomes.get(Outcome.NOT_ANALYSED, 0) / images if images else None,
            refused=refused,
        )


class SourceList(_Document):
    items: list[SourceSummary]
    refused: list[Refused] = Field(description="Callers that belong to no source, the last one first.")


class SourceQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(7, ge=1, le=366, description="How far back recent outcomes and refusals go.")


_EXAMPLE = SourceList(
    items=[
        SourceSummary(
            name="x-ray-room-1",
            ae_titles=["XRAY1"],
            first_seen_at=examples.IMAGE.received_at - timedelta(days=90),
            last_seen_at=examples.IMAGE.received_at,
            images_today=14,
            images_total=4211,
            recent_outcomes={Outcome.POSITIVE: 31, Outcome.NEGATIVE: 62, Outcome.NOT_ANALYSED: 7},
            not_analysed_share=0.07,
            refused=[],
        )
    ],
    refused=[
        Refused(
            calling_ae_title="STRANGER",
            called_ae_title="PNEUMO",
            address="10.0.0.9",
            cause="calling_ae_title_unknown",
            count=3,
            first_at=examples.IMAGE.received_at - timedelta(minutes=9),
            last_at=examples.IMAGE.received_at,
        )
    ],
)


@router.get("", summary="List sources", responses=examples.answers(_EXAMPLE, *examples.OF_A_LIST))
def list_sources(
    database: DatabaseOfApp, settings: SettingsOfApp, _caller: Reader, query: Annotated[SourceQuery, Query()]
) -> SourceList:
    """Those that are configured and those that once sent something, by name. Nothing of a patient."""
    since = now() - timedelta(days=query.days)
    with database.read() as session:
        listed = {each.row.name: each for each in find_sources(session, midnight(), since)}
        callers = refused_callers(session, since)
    configured = {source.name: source for source in settings.sources}
    titles = {title for source in settings.sources for title in source.ae_titles}
    return SourceList(
        items=[
            SourceSummary.of(name, listed.get(name), *_calls(configured.get(name), callers))
            for name in sorted(listed.keys() | configured.keys())
        ],
        refused=[Refused.model_validate(each) for each in callers if each.calling_ae_title not in titles],
    )


def _calls(source: ConfiguredSource | None, callers: list[RefusedCaller]) -> tuple[list[str], list[Refused]]:
    titles = list(source.ae_titles) if source else []
    return titles, [Refused.model_validate(each) for each in callers if each.calling_ae_title in titles]
