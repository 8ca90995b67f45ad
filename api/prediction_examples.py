"""The prediction service in the OpenAPI document: its form, and one worked example of each answer."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from api.prediction_answers import AnsweringModel, BatchAnswer, BatchItem, PredictionAnswer
from api.problems import Code, problem_document

ANSWER = PredictionAnswer(
    status="success",
    prediction="PNEUMONIA",
    confidence=88.5,
    probabilities={"NORMAL": 11.5, "PNEUMONIA": 88.5},
    processing_time_ms=143.2,
    timestamp=datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC),
    patient_id="EXAMPLE-17",
    image_size=[1857, 1317],
    warnings=None,
    warning_codes=[],
    threshold=42.0,
    prediction_id=48,
    sop_instance_uid="2.25.188310331837482341733841294729486112837",
    model=AnsweringModel(
        name="mobilenet_v2", version="1.0.0", device_uid="2.25.301198437766254401938477561029384756102"
    ),
    cached=False,
)
_ANSWERED = BatchItem(answer=ANSWER, problem=None)
_REFUSED = BatchItem(
    answer=None,
    problem=problem_document(HTTPStatus.UNPROCESSABLE_ENTITY, "The file cannot be decoded.", Code.NO_IMAGE),
)
BATCH = BatchAnswer(status="success", results=[_ANSWERED])
PARTIAL_BATCH = BatchAnswer(status="partial", results=[_ANSWERED, _REFUSED])


def form(file_field: str, *, several: bool) -> dict[str, Any]:
    """The request body, which the routes read by themselves: within limits, and after the caller is known."""
    file: dict[str, Any] = {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "JPEG, PNG or DICOM (PS3.10); its first bytes decide.",
    }
    patient: dict[str, Any] = {
        "type": "string",
        "maxLength": 64,
        "description": "Comes back with the answer, and is how the audit log finds it.",
    }
    properties = {
        file_field: {"type": "array", "items": file, "minItems": 1} if several else file,
        "patient_id": {"type": "array", "items": patient} if several else patient,
        "use_tta": {
            "type": "boolean",
            "default": False,
            "description": "Test-time augmentation: several views of each image are judged, which takes longer.",
        },
    }
    schema = {
        "type": "object",
        "properties": properties,
        "required": [file_field],
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
