"""``/v1/studies``: each image of a study, said something about or not yet."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from api import examples
from api.parameters import UID
from api.schemas import StudyDetail
from api.security import Authenticated, record_read
from api.state import DatabaseOfApp
from audit.queries import get_study

router = APIRouter(prefix="/v1/studies", tags=["audit"])


@router.get(
    "/{study_instance_uid}",
    summary="A study with all its images",
    responses=examples.answers(
        examples.STUDY, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def show_study(
    database: DatabaseOfApp, caller: Authenticated, study_instance_uid: Annotated[UID, Path()]
) -> StudyDetail:
    """Images that still wait for their analysis are listed too: silence never means normal."""
    with database.read() as session:
        row = get_study(session, study_instance_uid)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"No image of study {study_instance_uid} has been received.")
    record_read(database, caller, subject=study_instance_uid, rows=len(row.instances))
    return StudyDetail.of(row)
