"""``/v1/studies/{uid}/events``: what happened to a study, from its arrival to the word of the PACS."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api import examples
from api.parameters import UID
from api.schemas import Event
from api.security import Reader
from api.state import DatabaseOfApp
from audit.timelines import MOST_EVENTS, MOST_READS, history_of_study

router = APIRouter(prefix="/v1/studies", tags=["audit"])


class Timeline(BaseModel):
    items: list[Event] = Field(
        description=f"What happened, oldest first; the newest {MOST_EVENTS} where there are more. Reads are no part."
    )
    left_out: int = Field(description="Older events than these. `GET /v1/events?subject=UID` pages through all.")
    reads: int = Field(description="How often something of it was read, exported, or answered once more.")
    newest_reads: list[Event] = Field(description=f"Of these the last {MOST_READS}, newest first.")


@router.get(
    "/{study_instance_uid}/events",
    summary="What happened to a study, oldest first, and who read of it",
    responses=examples.answers(
        Timeline(items=examples.EVENT_PAGE.items, left_out=0, reads=0, newest_reads=[]),
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
)
def list_events_of_study(
    database: DatabaseOfApp, _caller: Reader, study_instance_uid: Annotated[UID, Path()]
) -> Timeline:
    """Those about the study itself, its images and their results; none where no such study was received.

    Events hold UIDs and codes, nothing of a patient; reading them is therefore not an event itself.
    """
    with database.read() as session:
        found = history_of_study(session, study_instance_uid)
    return Timeline(
        items=[Event.model_validate(row) for row in found.events],
        left_out=found.left_out,
        reads=found.reads,
        newest_reads=[Event.model_validate(row) for row in found.newest_reads],
    )
