"""``/v1/.../export``: a whole list as CSV or NDJSON, with the filters and the documents of the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api import examples
from api.delivery_documents import DeliveryLine
from api.export_streams import Export, ExportFormat, Listing
from api.list_queries import DeliveryFilters, EventFilters, PredictionFilters, StudyFilters
from api.schemas import Event, PredictionSummary
from api.security import Reader, record_read
from api.state import DatabaseOfApp
from api.study_documents import StudySummary
from audit.delivery_listing import list_deliveries
from audit.event_listing import find_events
from audit.models import Prediction
from audit.queries import delivery_states, find_predictions, key_of
from audit.study_listing import find_studies

router = APIRouter(prefix="/v1", tags=["exports"])

_FORMAT = Field(ExportFormat.CSV, description="`ndjson`: one document of the list per line.")


class PredictionExport(PredictionFilters):
    format: ExportFormat = _FORMAT


class StudyExport(StudyFilters):
    format: ExportFormat = _FORMAT


class DeliveryExport(DeliveryFilters):
    format: ExportFormat = _FORMAT


class EventExport(EventFilters):
    format: ExportFormat = _FORMAT


def _how(query: PredictionExport | StudyExport | DeliveryExport | EventExport) -> dict[str, Any]:
    return {"export_format": query.format, "sort": query.sort, "filters": query.for_the_record}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    **examples.answers(examples.PREDICTION_PAGE, *examples.OF_A_LIST),
    200: {
        "description": "A stream, as long as the list. It was cut short if it does not end as HTTP wants.",
        "content": {each.media_type: {"schema": {"type": "string"}} for each in ExportFormat},
    },
}


def _summaries(session: Session, rows: Sequence[Prediction]) -> list[BaseModel]:
    states = delivery_states(session, [row.id for row in rows])
    return [PredictionSummary.of(row, states[row.id]) for row in rows]


@router.get("/predictions/export", summary="Export predictions", response_class=Response, responses=_ANSWERS)
def export_predictions(database: DatabaseOfApp, caller: Reader, query: Annotated[PredictionExport, Query()]) -> Export:
    """As `GET /v1/predictions` lists them. Cells a spreadsheet would take for formulas begin with an apostrophe."""
    query.refuse_searching_for_patients(caller)
    chosen = query.chosen
    listing = Listing(
        "predictions",
        PredictionSummary,
        find=lambda session, page: find_predictions(session, chosen, page),
        key=lambda row: key_of(row, query.sort),
        show=_summaries,
    )
    record_read(database, caller, filters=query.for_the_record)
    return Export(database, caller, listing, **_how(query))


@router.get("/studies/export", summary="Export studies", response_class=Response, responses=_ANSWERS)
def export_studies(database: DatabaseOfApp, caller: Reader, query: Annotated[StudyExport, Query()]) -> Export:
    """As `GET /v1/studies` lists them."""
    query.refuse_searching_for_patients(caller)
    chosen = query.chosen
    listing = Listing(
        "studies",
        StudySummary,
        find=lambda session, page: find_studies(session, chosen, page),
        key=lambda listed: (listed.row.first_received_at, listed.row.id),
        show=lambda _session, rows: [StudySummary.of(row) for row in rows],
    )
    record_read(database, caller, filters=query.for_the_record)
    return Export(database, caller, listing, **_how(query))


@router.get("/deliveries/export", summary="Export deliveries", response_class=Response, responses=_ANSWERS)
def export_deliveries(database: DatabaseOfApp, caller: Reader, query: Annotated[DeliveryExport, Query()]) -> Export:
    """As `GET /v1/deliveries` lists them."""
    chosen = query.chosen
    listing = Listing(
        "deliveries",
        DeliveryLine,
        find=lambda session, page: list_deliveries(session, chosen, page),
        key=lambda row: (row.result_object.created_at, row.id),
        show=lambda _session, rows: [DeliveryLine.of_row(row) for row in rows],
    )
    return Export(database, caller, listing, **_how(query))


@router.get("/events/export", summary="Export audit events", response_class=Response, responses=_ANSWERS)
def export_events(database: DatabaseOfApp, caller: Reader, query: Annotated[EventExport, Query()]) -> Export:
    """As `GET /v1/events` lists them; `pneumo audit verify` needs more than this to hold the chain against."""
    chosen = query.chosen
    listing = Listing(
        "events",
        Event,
        find=lambda session, page: find_events(session, chosen, page),
        key=lambda row: (row.at, row.id),
        show=lambda _session, rows: [Event.model_validate(row) for row in rows],
    )
    return Export(database, caller, listing, **_how(query))
