"""One worked example of each answer, for the OpenAPI document. They are objects, so they cannot leave the schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from api.list_queries import PredictionQuery
from api.openapi import PROBLEM_SCHEMA
from api.problems import problem_document
from api.schemas import (
    Delivery,
    Event,
    EventPage,
    Image,
    ImageJob,
    InstanceState,
    Model,
    PredictionDetail,
    PredictionPage,
    PredictionSummary,
    ReaderWord,
    Remark,
    Result,
    StudyDetail,
    StudyHeader,
    StudyImage,
    Verdict,
)
from audit.models import Agreement, PictureKind, Priority, Role, TrueLabel
from core.records import DeliveryState, Outcome, ResultKind

_ARRIVED = datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC)
_ANALYSED = _ARRIVED + timedelta(seconds=1.9)
_REPORTED = _ARRIVED + timedelta(seconds=12)

DELIVERY = Delivery(
    id=96,
    destination="main-pacs",
    state=DeliveryState.SENT,
    attempts=1,
    due_at=_REPORTED,
    sent_at=_REPORTED + timedelta(seconds=0.4),
    confirmed_at=_REPORTED + timedelta(seconds=61),
    first_due_at=_REPORTED,
    confirm_at=None,
    repeats=0,
    last_status="0x0000",
    last_error=None,
)
VERDICT = Verdict(
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
            created_at=_ANALYSED,
            deliveries=[DELIVERY],
        )
    ],
    pictures=[PictureKind.ORIGINAL, PictureKind.HEATMAP, PictureKind.OVERLAY],
    feedback=[
        ReaderWord(
            agreement=Agreement.AGREE,
            true_label=TrueLabel.PNEUMONIA,
            comment="",
            reader="reader-3",
            created_at=_ANALYSED + timedelta(hours=1),
            stands=True,
        )
    ],
    created_at=_ANALYSED,
    latency_seconds=1.9,
    recalled_at=None,
    stage_seconds={"read": 0.11, "predict": 0.07, "build": 0.2},
)
IMAGE = Image(
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
    media_type="application/dicom",
    uploaded_by=None,
    original_sop_instance_uid=None,
    original_study_instance_uid=None,
)
STUDY_HEADER = StudyHeader(
    study_instance_uid="1.2.826.0.1.3680043.10.511.3.8999",
    patient_id=IMAGE.patient_id,
    issuer_of_patient_id=IMAGE.issuer_of_patient_id,
    accession_number="EXAMPLE-A-204",
    study_date="20260302",
    first_received_at=_ARRIVED,
    last_received_at=_ARRIVED,
    reported_at=_REPORTED,
    erased_at=None,
)
_DONE = ImageJob(
    id=52,
    state=InstanceState.FINISHED,
    priority=Priority.NORMAL,
    generation=1,
    attempts=1,
    last_error=None,
    created_at=_ARRIVED,
    due_at=_ARRIVED,
    finished_at=_ANALYSED,
)
_WAITS = _DONE.model_copy(update={"id": 53, "state": InstanceState.WAITING, "attempts": 0, "finished_at": None})
_SUMMARY = PredictionSummary(
    id=VERDICT.id,
    role=VERDICT.role,
    outcome=VERDICT.outcome,
    label=VERDICT.model.label,
    probability=VERDICT.probability,
    threshold=VERDICT.model.threshold,
    patient_id=IMAGE.patient_id,
    issuer_of_patient_id=IMAGE.issuer_of_patient_id,
    accession_number=STUDY_HEADER.accession_number,
    study_instance_uid=STUDY_HEADER.study_instance_uid,
    series_instance_uid=IMAGE.series_instance_uid,
    uploaded_by=None,
    sop_instance_uid=IMAGE.sop_instance_uid,
    source=IMAGE.source,
    model=VERDICT.model.name,
    model_version=VERDICT.model.version,
    device_uid=VERDICT.model.device_uid,
    warnings=["low_resolution"],
    reasons=[],
    deliveries={DeliveryState.SENT: 2},
    feedback={Agreement.AGREE: 1},
    pictures=VERDICT.pictures,
    received_at=_ARRIVED,
    created_at=_ANALYSED,
    latency_seconds=1.9,
    recalled_at=None,
)
_LATE_IMAGE = IMAGE.model_copy(update={"sop_instance_uid": "1.2.826.0.1.3680043.10.511.3.9002"})

PREDICTION = PredictionDetail(**dict(VERDICT), instance=IMAGE, study=STUDY_HEADER, job=_DONE)
PREDICTION_PAGE = PredictionPage(
    items=[_SUMMARY], next=PredictionQuery.model_validate({}).next_after((_ANALYSED, VERDICT.id)), total=None
)
STUDY = StudyDetail(
    **dict(STUDY_HEADER),
    unfinished=1,
    instances=[
        StudyImage(
            **dict(IMAGE),
            state=InstanceState.FINISHED,
            attempts=1,
            last_error=None,
            job=_DONE,
            predictions=[VERDICT],
        ),
        StudyImage(
            **dict(_LATE_IMAGE),
            state=InstanceState.WAITING,
            attempts=0,
            last_error=None,
            job=_WAITS,
            predictions=[],
        ),
    ],
    results=[],
)
EVENT_PAGE = EventPage(
    items=[
        Event(
            id=5120,
            at=_REPORTED,
            kind="delivery.dead",
            subject=VERDICT.results[0].sop_instance_uid,
            actor="pneumo",
            data={"destination": "main-pacs", "status": "0x0122", "code": "sop_class_not_supported", "attempts": 1},
        )
    ],
    next=None,
    total=None,
)

_WHEN = {
    HTTPStatus.BAD_REQUEST: "The body ended too early.",
    HTTPStatus.UNAUTHORIZED: "No valid API key came with the request.",
    HTTPStatus.FORBIDDEN: "This needs the scope audit:read.",
    HTTPStatus.NOT_FOUND: "There is no such row.",
    HTTPStatus.CONFLICT: "What was asked for does not fit the state that things are in.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "limit: Input should be less than or equal to 200",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "At most 67108864 bytes are taken (api.maximum_upload_bytes).",
    HTTPStatus.TOO_MANY_REQUESTS: "10 images per 60 s are allowed: try again in 12 s.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed to answer; its log has the cause.",
    HTTPStatus.SERVICE_UNAVAILABLE: "No worker is alive that could answer.",
}

OF_A_LIST = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
OF_ONE = (*OF_A_LIST, HTTPStatus.NOT_FOUND)


def answers(example: BaseModel, *problems: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route: what it says when all is well, and each problem it knows."""
    documents: dict[int | str, dict[str, Any]] = {
        status.value: {
            "description": status.phrase,
            "content": {
                "application/problem+json": {
                    "schema": PROBLEM_SCHEMA,
                    "example": problem_document(status, _WHEN[status]).model_dump(),
                }
            },
        }
        for status in problems
    }
    documents[200] = json_example(example)
    return documents


def json_example(example: BaseModel) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example.model_dump(mode="json")}}}
