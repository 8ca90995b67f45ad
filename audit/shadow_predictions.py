"""What models in shadow said of images whose outcome stands already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.events import record_event
from audit.inference_jobs import prediction_row
from audit.models import Prediction, Role
from core.records import Analysis


@dataclass(frozen=True, slots=True)
class ShadowPrediction:
    instance_id: int
    analysis: Analysis
    stage_seconds: Mapping[str, float]


def keep_shadow_predictions(session: Session, model_version_id: int, predictions: Sequence[ShadowPrediction]) -> None:
    """Rows without result objects, so there is nothing that could be delivered; and no event, which metrics count.

    Images that the model has judged before keep what it said then: they are analysed again after a recall.
    """
    instances = [shadow.instance_id for shadow in predictions]
    theirs = (Prediction.model_version_id == model_version_id, Prediction.instance_id.in_(instances))
    known = set(session.scalars(select(Prediction.instance_id).where(*theirs)))
    for shadow in predictions:
        if shadow.instance_id in known:
            continue
        row = prediction_row(shadow.instance_id, model_version_id, shadow.analysis, shadow.stage_seconds)
        row.role = Role.SHADOW
        session.add(row)


def record_shadow_failure(session: Session, device_uid: str, worker: str, code: str, images: int) -> None:
    record_event(session, "shadow.failed", subject=device_uid, worker=worker, code=code, images=images)
