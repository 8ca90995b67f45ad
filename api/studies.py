"""``/v1/studies``: each image of a study, said something about or not yet."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query

from api import examples, list_examples
from api.list_queries import StudyQuery
from api.masking import for_caller
from api.parameters import UID
from api.schemas import StudyDetail
from api.security import Reader, record_read
from api.state import DatabaseOfApp
from api.study_documents import StudyPage, StudySummary
from audit.study_listing import count_studies, find_studies, get_study, results_about_studies

router = APIRouter(prefix="/v1/studies", tags=["audit"])


@router.get(
    "",
    summary="List studies, by when their first image came",
    responses=examples.answers(list_examples.STUDY_PAGE, *examples.OF_A_LIST),
)
def list_studies(database: DatabaseOfApp, caller: Reader, query: Annotated[StudyQuery, Query()]) -> StudyPage:
    """`unconfirmed=true` asks: which studies have a prediction, and no result of it that is known to lie in the PACS?

    Filters that tell of images and predictions must hold for one image with one prediction. Studies nothing was said
    about yet are listed, too.
    """
    query.refuse_searching_for_patients(caller)
    page = query.page
    with database.read() as session:
        listed = find_studies(session, query.chosen, page)
        total = count_studies(session, query.chosen) if query.count else None
    shown, next_cursor = query.cut(listed, lambda each: (each.row.first_received_at, each.row.id))
    record_read(database, caller, subject=query.study_instance_uid or "", filters=query.for_the_record, rows=len(shown))
    answer = StudyPage(
        items=[StudySummary.of(each) for each in shown],
        next=next_cursor,
        total=total,
    )
    return for_caller(answer, caller)


@router.get(
    "/{study_instance_uid}",
    summary="A study with all its images",
    responses=examples.answers(examples.STUDY, *examples.OF_ONE),
)
def show_study(database: DatabaseOfApp, caller: Reader, study_instance_uid: Annotated[UID, Path()]) -> StudyDetail:
    """Images that still wait for their analysis are listed too: silence never means normal."""
    with database.read() as session:
        row = get_study(session, study_instance_uid)
        results = results_about_studies(session, [row.id])[row.id] if row else []
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"No image of study {study_instance_uid} has been received.")
    record_read(database, caller, subject=study_instance_uid, rows=len(row.instances))
    return for_caller(StudyDetail.of(row, results), caller)
