"""Where the buttons go: the API's actions, and then back to the page with the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse

from api.actions import (
    Acknowledgement,
    RequeueDid,
    RetryDid,
    acknowledge_alert,
    reanalyse,
    requeue,
    retry,
)
from api.pages.callers import PageOperator
from api.pages.returning import back_with
from api.parameters import UID, RowId
from api.problems import Code, Refusal
from api.state import DatabaseOfApp

router = APIRouter(include_in_schema=False)

Back = Annotated[str, Form(max_length=512)]


@router.post("/jobs/{job_id}/retry")
def retry_image(
    database: DatabaseOfApp, caller: PageOperator, job_id: Annotated[RowId, Path()], back: Back = "/"
) -> RedirectResponse:
    def act() -> str:
        did = retry(database, caller, job_id).did
        return "under_way" if did is RetryDid.UNDER_WAY else "retried"

    return back_with(back, _notice_of(act))


@router.post("/studies/{study_instance_uid}/reanalyse")
def reanalyse_study(
    database: DatabaseOfApp, caller: PageOperator, study_instance_uid: Annotated[UID, Path()], back: Back = "/"
) -> RedirectResponse:
    def act() -> str:
        return "reanalysed" if reanalyse(database, caller, study_instance_uid).queued else "nothing_to_do"

    return back_with(back, _notice_of(act))


@router.post("/deliveries/{delivery_id}/requeue")
def requeue_delivery(
    database: DatabaseOfApp, caller: PageOperator, delivery_id: Annotated[RowId, Path()], back: Back = "/"
) -> RedirectResponse:
    def act() -> str:
        did = requeue(database, caller, delivery_id).did
        return "under_way" if did is RequeueDid.UNDER_WAY else "requeued"

    return back_with(back, _notice_of(act))


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(
    database: DatabaseOfApp,
    caller: PageOperator,
    alert_id: Annotated[RowId, Path()],
    note: Annotated[str, Form(max_length=500, pattern=r"^[^\x00]*$")] = "",
) -> RedirectResponse:
    acknowledge_alert(database, caller, alert_id, Acknowledgement(note=note.strip()))
    return back_with("/alerts", "acknowledged")


def _notice_of(act: Callable[[], str]) -> str:
    """What does not fit how things are now is said on the page; other refusals have one of their own."""
    try:
        return act()
    except Refusal as exc:
        if exc.code is not Code.CONFLICT:
            raise
        return "refused"
