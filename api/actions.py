"""What people set going: another analysis, another delivery, an alert that somebody knows of. Each leaves an event."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.alerts import Alert
from api.parameters import UID, RowId
from api.problems import Code, Refusal
from api.security import Operator
from api.state import DatabaseOfApp
from audit.alerts import AlertCode, acknowledge
from audit.deliveries import RequeueFate, requeue_delivery
from audit.models import JobState
from audit.retrials import Fate, reanalyse_study, retry_job
from core.records import DeliveryState

router = APIRouter(prefix="/v1", tags=["actions"])

_PROBLEMS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_WHY_NOT_AGAIN = {
    Fate.DONE: "The model in charge has judged this image, and its answer stands.",
    Fate.BLOCKED: "The answer of the model in charge to this image was recalled: activate another model first.",
    Fate.ERASED: "This image was erased.",
}
_WHY_NOT_REQUEUED = {
    RequeueFate.HELD: "This delivery is held until its study is idle, and goes out by itself.",
    RequeueFate.RECALLED: "What it delivers was recalled.",
    RequeueFate.ERASED: "What it delivers was erased.",
}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class RetryDid(StrEnum):
    QUEUED = Fate.QUEUED.value
    MADE_DUE = Fate.MADE_DUE.value
    UNDER_WAY = Fate.UNDER_WAY.value


class JobRetry(_Answer):
    id: int
    sop_instance_uid: str
    did: RetryDid = Field(
        description="`queued`: it is analysed again, and what was said of it is withdrawn; `made_due`: it was waiting "
        "and is due now; `under_way`: a worker has it, nothing was changed."
    )
    state: JobState
    withdrawn: list[int] = Field(description="Ids of the predictions that this withdrew.")


class StudyReanalysis(_Answer):
    study_instance_uid: str
    queued: int = Field(description="Images that are analysed again. What was said of them is withdrawn.")
    waiting: int = Field(description="Images whose analysis is due anyway.")
    done: int = Field(description="Images that the model in charge has answered for.")
    blocked: int = Field(
        description="Images whose answer by the model in charge was recalled: another model has to be activated."
    )


class RequeueDid(StrEnum):
    REQUEUED = RequeueFate.REQUEUED.value
    UNDER_WAY = RequeueFate.UNDER_WAY.value


class DeliveryRequeue(_Answer):
    id: int
    destination: str
    sop_instance_uid: str = Field(description="Of the result.")
    did: RequeueDid = Field(
        description="`requeued`: due now; `under_way`: it is being sent at this moment, nothing was changed."
    )
    state: DeliveryState


class Acknowledgement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    note: str = Field(
        "",
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="What is being done about it. Nothing of a patient: everybody who reads alerts sees it.",
    )


_RETRY = JobRetry(
    id=31,
    sop_instance_uid="1.2.826.0.1.3680043.10.511.3.9001",
    did=RetryDid.QUEUED,
    state=JobState.PENDING,
    withdrawn=[48],
)
_REANALYSIS = StudyReanalysis(
    study_instance_uid="1.2.826.0.1.3680043.10.511.3.8999", queued=1, waiting=0, done=1, blocked=0
)
_REQUEUE = DeliveryRequeue(
    id=96,
    destination="main-pacs",
    sop_instance_uid="2.25.301198437766254401938477561029384756102",
    did=RequeueDid.REQUEUED,
    state=DeliveryState.PENDING,
)
_ALERT = Alert(
    id=7,
    code=AlertCode.PACS_DOWN,
    subject="main-pacs",
    detail="4 results could not be sent, the oldest for 40 minutes (last: connection_refused).",
    opened_at=datetime(2026, 3, 2, 8, 55, tzinfo=UTC),
    closed_at=None,
    acknowledged_at=datetime(2026, 3, 2, 9, 2, tzinfo=UTC),
    acknowledged_by="on-call",
    note="The PACS is being updated until ten.",
)


@router.post(
    "/jobs/{job_id}/retry", summary="Analyse an image once more", responses=examples.answers(_RETRY, *_PROBLEMS)
)
def retry(database: DatabaseOfApp, caller: Operator, job_id: Annotated[RowId, Path()]) -> JobRetry:
    """For an image whose analysis waits, failed, or was refused. One that the model in charge has judged is left alone.

    What another model judged is judged again by the one in charge.
    """
    with database.write() as session:
        retrial = retry_job(session, job_id, caller.name)
    if retrial is None:
        raise _unknown(f"There is no job {job_id}.")
    if retrial.fate in _WHY_NOT_AGAIN:
        raise _conflict(_WHY_NOT_AGAIN[retrial.fate])
    return JobRetry(
        id=job_id,
        sop_instance_uid=retrial.job.instance.sop_instance_uid,
        did=RetryDid(retrial.fate.value),
        state=retrial.job.state,
        withdrawn=list(retrial.withdrawn),
    )


@router.post(
    "/studies/{study_instance_uid}/reanalyse",
    summary="Analyse a study's images again where that can help",
    responses=examples.answers(_REANALYSIS, *_PROBLEMS),
)
def reanalyse(database: DatabaseOfApp, caller: Operator, study_instance_uid: Annotated[UID, Path()]) -> StudyReanalysis:
    """For images whose analysis failed, or whose answer was recalled or came from another model than the one in charge.

    Results that were sent stay where they are; the new ones go to the same destinations. `pneumo recall --reject` tells
    destinations of results that are withdrawn. New images of other studies are analysed first.
    """
    try:
        with database.write() as session:
            counts = reanalyse_study(session, study_instance_uid, caller.name)
    except ValueError as exc:
        raise _conflict("The images of this study were erased.") from exc
    if counts is None:
        raise _unknown("There is no such study.")
    return StudyReanalysis(study_instance_uid=study_instance_uid, **asdict(counts))


@router.post(
    "/deliveries/{delivery_id}/requeue",
    summary="Send a result once more",
    responses=examples.answers(_REQUEUE, *_PROBLEMS),
)
def requeue(database: DatabaseOfApp, caller: Operator, delivery_id: Annotated[RowId, Path()]) -> DeliveryRequeue:
    """It is due now, at the destination it always had, with all of its attempts before it."""
    with database.write() as session:
        requeued = requeue_delivery(session, delivery_id, caller.name)
    if requeued is None:
        raise _unknown(f"There is no delivery {delivery_id}.")
    if requeued.fate in _WHY_NOT_REQUEUED:
        raise _conflict(_WHY_NOT_REQUEUED[requeued.fate])
    return DeliveryRequeue(
        id=delivery_id,
        destination=requeued.delivery.destination,
        sop_instance_uid=requeued.delivery.result_object.sop_instance_uid,
        did=RequeueDid(requeued.fate.value),
        state=requeued.delivery.state,
    )


@router.post(
    "/alerts/{alert_id}/acknowledge",
    summary="Say that somebody knows of an alert",
    responses=examples.answers(_ALERT, *(status for status in _PROBLEMS if status is not HTTPStatus.CONFLICT)),
)
def acknowledge_alert(
    database: DatabaseOfApp, caller: Operator, alert_id: Annotated[RowId, Path()], body: Acknowledgement
) -> Alert:
    """It stays open until it is over. A later word stands in place of an earlier one."""
    with database.write() as session:
        alert = acknowledge(session, alert_id, caller.name, body.note)
    if alert is None:
        raise _unknown(f"There is no alert {alert_id}.")
    return Alert.model_validate(alert)


def _unknown(detail: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, detail)


def _conflict(detail: str) -> Refusal:
    return Refusal(HTTPStatus.CONFLICT, Code.CONFLICT, detail)
