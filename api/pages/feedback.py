"""``/feedback``: what readers say, in figures and one by one; and where the study page's form goes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Path
from fastapi.responses import HTMLResponse, RedirectResponse

from api.feedback import give_feedback, list_feedback, show_figures
from api.feedback_documents import FeedbackQuery, FiguresQuery, NewFeedback
from api.pages.callers import PageFeedbackWriter, PageReader
from api.pages.rendering import ViewOfRequest
from api.pages.returning import back_with
from api.parameters import RowId
from api.problems import Refusal
from api.state import DatabaseOfApp
from audit.models import Agreement, Role, TrueLabel

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
    prediction_id: Annotated[RowId, Path()],
    *,
    agreement: Annotated[Agreement, Form()],
    true_label: Annotated[str, Form(max_length=32)] = "",
    comment: Annotated[str, Form(max_length=2000)] = "",
    reader: Annotated[str, Form(max_length=64)] = "",
    back: Annotated[str, Form(max_length=512)] = "/",
) -> RedirectResponse:
    said = NewFeedback.model_validate({
        "agreement": agreement,
        "true_label": TrueLabel(true_label) if true_label in set(TrueLabel) else None,
        "comment": comment,
        "reader": reader.strip() or None,
    })  # fmt: skip
    try:
        give_feedback(database, caller, prediction_id, said)
    except Refusal as exc:
        contradiction = exc.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        return back_with(back, "contradiction" if contradiction else "refused")
    return back_with(back, "feedback_given")
