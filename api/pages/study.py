"""``/studies/{uid}``: everything about a study; ``/r/{uid}``: the same at one image, from the link in its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import HTMLResponse

from api.pages import charts
from api.pages.callers import PageReader
from api.pages.feedback_form import TypedFeedback
from api.pages.rendering import View, ViewOfRequest
from api.parameters import UID
from api.problems import Code, Refusal
from api.schemas import Delivery, StudyDetail, StudyImage, Verdict
from api.security import Caller
from api.state import DatabaseOfApp
from api.studies import show_study
from api.timelines import list_events_of_study
from audit.deliveries import ENDED
from audit.search import image_of_prediction, study_of_instance
from audit.session import Database
from core.records import DeliveryState, Outcome, ResultKind
from core.scopes import Scope

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
    number: int
    """By its arrival; the time line names it so."""
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
    return _show(database, caller, view, study_instance_uid, asked_for=sop_instance_uid)


def show_again(database: Database, caller: Caller, view: View, typed: TypedFeedback) -> HTMLResponse:
    """The page that a form stood on which was not kept, with what was typed.

    Raises Refusal where the sender may not see the page, or there is no such prediction.
    """
    with database.read() as session:
        found = image_of_prediction(session, typed.prediction_id)
    if found is None or not caller.may(Scope.AUDIT_READ):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, "The feedback was not understood.")
    study_instance_uid, sop_instance_uid = found
    from_report = typed.said.back == f"/r/{sop_instance_uid}"
    page = f"/r/{sop_instance_uid}" if from_report else f"/studies/{study_instance_uid}"
    return _show(
        database, caller, view, study_instance_uid,
        asked_for=sop_instance_uid if from_report else "", typed=typed,
        status=HTTPStatus.UNPROCESSABLE_ENTITY, here=page, address=page,
    )  # fmt: skip


def _show(
    database: Database,
    caller: Caller,
    view: View,
    study_instance_uid: str,
    *,
    asked_for: str = "",
    typed: TypedFeedback | None = None,
    **more: Any,
) -> HTMLResponse:
    study = show_study(database, caller, study_instance_uid)
    images = [_image(image, number, asked_for) for number, image in enumerate(study.instances, start=1)]
    images.sort(key=lambda shown: not shown.is_asked_for)
    return view.show(
        "study.html",
        caller,
        study=study,
        images=images,
        timeline=list_events_of_study(database, caller, study_instance_uid),
        result_kinds=_result_kinds(study),
        numbers=_numbers(images) if len(images) > 1 else {},
        may_send_again=_may_send_again,
        typed=typed,
        **more,
    )


def _image(image: StudyImage, number: int, asked_for: str) -> ShownImage:
    answers = tuple(_answer(verdict) for verdict in reversed(image.predictions))
    judged = any(answer.takes_feedback for answer in answers)
    return ShownImage(image, number, answers, image.sop_instance_uid == asked_for, may_retry=not judged)


def _answer(verdict: Verdict) -> Answer:
    scale = None if verdict.probability is None else charts.scale(verdict.probability, verdict.model.threshold)
    return Answer(verdict, scale, verdict.outcome in _JUDGED and verdict.recalled_at is None)


def _result_kinds(study: StudyDetail) -> dict[str, ResultKind]:
    """By the result's UID, to name what an event is about."""
    of_images = (result for image in study.instances for verdict in image.predictions for result in verdict.results)
    return {result.sop_instance_uid: result.kind for result in (*of_images, *study.results)}


def _numbers(images: Sequence[ShownImage]) -> dict[str, int]:
    """Of the image that an event is about, by the UID of the image or of a result."""
    numbers = {shown.image.sop_instance_uid: shown.number for shown in images}
    for shown in images:
        results = (result for answer in shown.answers for result in answer.verdict.results)
        numbers |= {result.sop_instance_uid: shown.number for result in results}
    return numbers


def _may_send_again(delivery: Delivery) -> bool:
    """Not what was ended for good, and not what is held until the study is idle: see ``api.actions.requeue``."""
    open_or_dead = delivery.state in (DeliveryState.PENDING, DeliveryState.DEAD)
    return open_or_dead and delivery.due_at is not None and delivery.last_error not in ENDED
