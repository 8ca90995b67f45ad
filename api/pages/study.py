"""``/studies/{uid}``: everything about a study; ``/r/{uid}``: the same at one image, from the link in its report."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import HTMLResponse

from api.pages import charts
from api.pages.callers import PageReader
from api.pages.rendering import View, ViewOfRequest
from api.parameters import UID
from api.schemas import Event, StudyDetail, StudyImage, Verdict
from api.security import Caller
from api.state import DatabaseOfApp
from api.studies import show_study
from api.timelines import list_events_of_study
from audit.search import study_of_instance
from audit.session import Database
from core.records import Outcome, ResultKind

router = APIRouter(include_in_schema=False)

_JUDGED = (Outcome.POSITIVE, Outcome.NEGATIVE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said of an image; ``verdict`` also holds what readers say of that."""

    verdict: Verdict
    scale: charts.Scale | None
    takes_feedback: bool


@dataclass(frozen=True, slots=True)
class ShownImage:
    image: StudyImage
    answers: tuple[Answer, ...]
    """Newest first."""
    is_asked_for: bool
    may_retry: bool
    """Nothing that the model judged stands: see ``api.actions.retry``."""


@router.get("/studies/{study_instance_uid}")
def study_page(
    database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest, study_instance_uid: Annotated[UID, Path()]
) -> HTMLResponse:
    return _show(database, caller, view, study_instance_uid)


@router.get("/r/{sop_instance_uid}")
def report_page(
    database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest, sop_instance_uid: Annotated[UID, Path()]
) -> HTMLResponse:
    """Where the link in a result leads: to the image it is about, and to the question whether that was right."""
    with database.read() as session:
        study_instance_uid = study_of_instance(session, sop_instance_uid)
    if study_instance_uid is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"No image {sop_instance_uid} has been received.")
    return _show(database, caller, view, study_instance_uid, sop_instance_uid)


def _show(database: Database, caller: Caller, view: View, study_instance_uid: str, asked_for: str = "") -> HTMLResponse:
    study = show_study(database, caller, study_instance_uid)
    images = [_image(image, asked_for) for image in study.instances]
    images.sort(key=lambda shown: not shown.is_asked_for)
    events = list_events_of_study(database, caller, study_instance_uid).items
    return view.show(
        "study.html",
        caller,
        study=study,
        images=images,
        events=[event for event in events if not _is_read(event)],
        result_kinds=_result_kinds(study),
        reads=[event for event in events if _is_read(event)],
    )


def _image(image: StudyImage, asked_for: str) -> ShownImage:
    answers = tuple(_answer(verdict) for verdict in reversed(image.predictions))
    judged = any(answer.takes_feedback for answer in answers)
    return ShownImage(image, answers, image.sop_instance_uid == asked_for, may_retry=not judged)


def _answer(verdict: Verdict) -> Answer:
    scale = None if verdict.probability is None else charts.scale(verdict.probability, verdict.model.threshold)
    return Answer(verdict, scale, verdict.outcome in _JUDGED and verdict.recalled_at is None)


def _result_kinds(study: StudyDetail) -> dict[str, ResultKind]:
    """By the result's UID, to name what an event is about."""
    of_images = (result for image in study.instances for verdict in image.predictions for result in verdict.results)
    return {result.sop_instance_uid: result.kind for result in (*of_images, *study.results)}


def _is_read(event: Event) -> bool:
    return event.kind in ("api.read", "api.exported")
