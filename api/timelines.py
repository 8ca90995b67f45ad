"""``/v1/studies/{uid}/events``: what happened to a study, from its arrival to the word of the PACS."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from api import examples
from api.parameters import UID
from api.schemas import Event
from api.security import Reader
from api.state import DatabaseOfApp
from audit.timelines import events_of_study

router = APIRouter(prefix="/v1/studies", tags=["audit"])


class Timeline(BaseModel):
    items: list[Event]


@router.get(
    "/{study_instance_uid}/events",
    summary="Every event of a study, oldest first",
    responses=examples.answers(
        Timeline(items=examples.EVENT_PAGE.items),
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
        return Timeline(items=[Event.model_validate(row) for row in events_of_study(session, study_instance_uid)])
