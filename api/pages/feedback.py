"""``/feedback``: what readers say, in figures and one by one; and where the study page's form goes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Path
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from api.feedback import give_feedback, list_feedback, show_figures
from api.feedback_documents import FeedbackQuery, FiguresQuery
from api.pages.callers import PageFeedbackWriter, PageReader
from api.pages.feedback_form import FeedbackForm, TypedFeedback
from api.pages.rendering import ViewOfRequest
from api.pages.returning import back_with
from api.pages.study import show_again
from api.parameters import RowId
from api.problems import Refusal
from api.state import DatabaseOfApp
from audit.models import Role

router = APIRouter(include_in_schema=False)

_NEWEST = 50


@router.get("/feedback")
def feedback_page(database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest) -> HTMLResponse:
    figures = show_figures(database, caller, FiguresQuery(role=Role.ACTIVE))
    newest = list_feedback(database, caller, FeedbackQuery(cursor=None, limit=_NEWEST))
    return view.show("feedback.html", caller, figures=figures, newest=newest.items)


@router.post("/predictions/{prediction_id}/feedback")
def say(
    database: DatabaseOfApp,
    caller: PageFeedbackWriter,
    view: ViewOfRequest,
    prediction_id: Annotated[RowId, Path()],
    form: Annotated[FeedbackForm, Form()],
) -> Response:
    try:
        give_feedback(database, caller, prediction_id, form.feedback())
    except ValidationError:
        return show_again(database, caller, view, TypedFeedback(prediction_id, form, "invalid"))
    except Refusal as exc:
        if exc.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
            return back_with(form.back, "refused")
        return show_again(database, caller, view, TypedFeedback(prediction_id, form, "contradiction"))
    return back_with(form.back, "feedback_given")
