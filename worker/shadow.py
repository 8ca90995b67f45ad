"""Models in shadow judge what the active one has judged, once its outcomes are committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.session import Database
from audit.shadow_predictions import ShadowPrediction, keep_shadow_predictions, record_shadow_failure
from core.logs import describe, get_logger
from dicom.identity import device_uid
from worker.lineup import Loaded
from worker.pipeline import Readable, judge_again
from worker.pulse import WORKER

log = get_logger("shadow")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that is finished as far as anybody waits for it."""

    instance_id: int
    readable: Readable


def judge_in_shadow(database: Database, shadows: Sequence[Loaded], images: Sequence[Decoded]) -> None:
    """One forward pass for each model. Whatever happens to one, the next is asked: its trouble is an event, no more."""
    if not images:
        return
    for shadow in shadows:
        try:
            analyses, seconds = judge_again([image.readable for image in images], shadow.classifier)
            predictions = [
                ShadowPrediction(image.instance_id, analysis, {"predict": seconds})
                for image, analysis in zip(images, analyses, strict=True)
            ]
            with database.write() as session:
                keep_shadow_predictions(session, shadow.model_version_id, predictions)
        except Exception as exc:  # noqa: BLE001 - a model on trial must never hurt the one in charge
            identity = shadow.classifier.identity
            log.error("shadow_failed", model=identity.name, version=identity.version, **describe(exc))
            with database.write() as session:
                record_shadow_failure(session, device_uid(identity), WORKER, type(exc).__name__, len(images))
