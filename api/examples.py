"""One worked example of each answer, for the OpenAPI document. They are objects, so they cannot leave the schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from api.problems import Problem
from api.schemas import (
    Delivery,
    Event,
    EventPage,
    Image,
    InstanceState,
    Model,
    PredictionDetail,
    PredictionPage,
    PredictionSummary,
    Remark,
    Result,
    StudyDetail,
    StudyHeader,
    StudyImage,
    Verdict,
)
from audit.models import Role
from core.records import DeliveryState, Outcome, ResultKind

_ARRIVED = datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC)
_ANALYSED = _ARRIVED + timedelta(seconds=1.9)
_REPORTED = _ARRIVED + timedelta(seconds=12)

_DELIVERY = Delivery(
    id=96,
    destination="main-pacs",
    state=DeliveryState.SENT,
    attempts=1,
    due_at=_REPORTED,
    sent_at=_REPORTED + timedelta(seconds=0.4),
    confirmed_at=_REPORTED + timedelta(seconds=61),
    last_status="0x0000",
    last_error=None,
)
_VERDICT = Verdict(
    id=48,
    role=Role.ACTIVE,
    outcome=Outcome.POSITIVE,
    probability=0.913,
    voi="window",
    model=Model(
        name="mobilenet_v2",
        version="1.0.0",
        manufacturer="pneumo",
        device_uid="2.25.188310331837482341733841294729486112837",
        digest="5a1f6c" + "0" * 58,
        label="pneumonia",
        threshold=0.42,
    ),
    warnings=[Remark(code="low_resolution", detail="The image has fewer pixels than the model was trained on.")],
    reasons=[],
    results=[
        Result(
            kind=ResultKind.REPORT,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            sop_instance_uid="2.25.301198437766254401938477561029384756102",
            series_instance_uid="2.25.119283746556473829101928374655647382910",
            deliveries=[_DELIVERY],
        )
    ],
    created_at=_ANALYSED,
    stage_seconds={"read": 0.11, "predict": 0.07, "build": 0.2},
)
_IMAGE = Image(
    sop_instance_uid="1.2.826.0.1.3680043.10.511.3.9001",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
    series_instance_uid="1.2.826.0.1.3680043.10.511.3.9000",
    transfer_syntax_uid="1.2.840.10008.1.2.4.70",
    modality="DX",
    patient_id="EXAMPLE-17",
    issuer_of_patient_id="EXAMPLE-HOSPITAL",
    source="x-ray-room-1",
    calling_ae_title="XRAY1",
    received_at=_ARRIVED,
)
_STUDY = StudyHeader(
    study_instance_uid="1.2.826.0.1.3680043.10.511.3.8999",
    patient_id=_IMAGE.patient_id,
    issuer_of_patient_id=_IMAGE.issuer_of_patient_id,
    accession_number="EXAMPLE-A-204",
    study_date="20260302",
    first_received_at=_ARRIVED,
    last_received_at=_ARRIVED,
    reported_at=_REPORTED,
)
_SUMMARY = PredictionSummary(
    id=_VERDICT.id,
    role=_VERDICT.role,
    outcome=_VERDICT.outcome,
    label=_VERDICT.model.label,
    probability=_VERDICT.probability,
    threshold=_VERDICT.model.threshold,
    patient_id=_IMAGE.patient_id,
    issuer_of_patient_id=_IMAGE.issuer_of_patient_id,
    study_instance_uid=_STUDY.study_instance_uid,
    sop_instance_uid=_IMAGE.sop_instance_uid,
    source=_IMAGE.source,
    model=_VERDICT.model.name,
    model_version=_VERDICT.model.version,
    device_uid=_VERDICT.model.device_uid,
    warnings=["low_resolution"],
    reasons=[],
    deliveries={DeliveryState.SENT: 2},
    received_at=_ARRIVED,
    created_at=_ANALYSED,
)
_LATE_IMAGE = _IMAGE.model_copy(update={"sop_instance_uid": "1.2.826.0.1.3680043.10.511.3.9002"})

PREDICTION = PredictionDetail(**dict(_VERDICT), latency_seconds=1.9, instance=_IMAGE, study=_STUDY)
PREDICTION_PAGE = PredictionPage(items=[_SUMMARY], next="AAZMEYKdJmAAAAAAAAAAMA")
STUDY = StudyDetail(
    **dict(_STUDY),
    unfinished=1,
    instances=[
        StudyImage(**dict(_IMAGE), state=InstanceState.FINISHED, attempts=1, last_error=None, predictions=[_VERDICT]),
        StudyImage(**dict(_LATE_IMAGE), state=InstanceState.WAITING, attempts=0, last_error=None, predictions=[]),
    ],
)
EVENT_PAGE = EventPage(
    items=[
        Event(
            id=5120,
            at=_REPORTED,
            kind="delivery.dead",
            subject=_VERDICT.results[0].sop_instance_uid,
            actor="pneumo",
            data={"destination": "main-pacs", "status": "0x0122", "code": "sop_class_not_supported", "attempts": 1},
        )
    ],
    next=None,
)

_WHEN = {
    HTTPStatus.UNAUTHORIZED: "No valid API key came with the request.",
    HTTPStatus.NOT_FOUND: "There is no such row.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "limit: Input should be less than or equal to 200",
}


def answers(example: BaseModel, *problems: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route: what it says when all is well, and each problem it knows."""
    documents: dict[int | str, dict[str, Any]] = {
        status.value: {
            "description": status.phrase,
            "content": {
                "application/problem+json": {
                    "schema": Problem.model_json_schema(),
                    "example": Problem(title=status.phrase, status=status, detail=_WHEN[status]).model_dump(),
                }
            },
        }
        for status in problems
    }
    documents[200] = json_example(example)
    return documents


def json_example(example: BaseModel) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example.model_dump(mode="json")}}}
