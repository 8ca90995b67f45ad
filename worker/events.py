"""What a webhook is told about an image: UIDs, codes and numbers, nothing of the patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from core.records import ResultKind
from dicom.case import Case
from dicom.identity import device_uid, result_uid

TYPE = "prediction.completed"


def event_uid(case: Case) -> str:
    """Names the event; the same for every build and every attempt to send it."""
    return result_uid(case.source.sop_instance_uid, device_uid(case.model), ResultKind.WEBHOOK_EVENT, case.generation)


def event_bytes(case: Case, results: Sequence[tuple[ResultKind, str, str]]) -> bytes:
    """JSON in UTF-8, the same bytes for the same case.

    Args:
        results: kind, SOP Class UID and SOP Instance UID of the DICOM objects made about the image.
    """
    source, analysis, model = case.source, case.analysis, case.model
    prediction = analysis.prediction
    data: dict[str, Any] = {
        "study_instance_uid": source.study_instance_uid,
        "series_instance_uid": source.series_instance_uid,
        "sop_instance_uid": source.sop_instance_uid,
        "outcome": analysis.outcome.value,
        "label": model.label,
        "probability": prediction.probability if prediction is not None else None,
        "threshold": model.threshold,
        "warnings": [finding.code for finding in analysis.warnings],
        "reasons": [finding.code for finding in analysis.reasons],
        "model": {"name": model.name, "version": model.version, "device_uid": device_uid(model)},
        "results": [
            {"kind": kind.value, "sop_class_uid": sop_class_uid, "sop_instance_uid": sop_instance_uid}
            for kind, sop_class_uid, sop_instance_uid in results
        ],
        "intended_use": case.intended_use,
    }
    if case.feedback_url:
        data["feedback_url"] = case.feedback_url
    created = case.created.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = {"id": event_uid(case), "type": TYPE, "timestamp": created, "data": data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
