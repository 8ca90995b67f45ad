"""What readers know of images, for training and measuring: a row for each answer that a model gave to such an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.feedback import JUDGED, of_images
from audit.feedback_figures import Truth, read_truths, truth_of
from audit.models import Instance, ModelVersion, Prediction, Role, Source
from core.records import Outcome

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ReadAgain:
    sop_instance_uid: str
    truth: Truth
    readers: int
    """Who could tell."""
    outcome: Outcome
    probability: float
    model: str
    model_version: str
    device_uid: str
    role: Role
    source: str
    received_at: datetime


def read_again(
    session: Session,
    *,
    model: str | None = None,
    source: str | None = None,
    received_from: datetime | None = None,
    received_before: datetime | None = None,
) -> Iterator[ReadAgain]:
    """Standing answers of any role to images with feedback, oldest image first, a thousand in memory at once."""
    truths = read_truths(received_from, received_before)
    rows = session.execute(
        select(
            Instance.sop_instance_uid,
            truth_of(truths),
            truths.c.deciding,
            Prediction.outcome,
            Prediction.probability,
            ModelVersion.name,
            ModelVersion.version,
            ModelVersion.device_uid,
            Prediction.role,
            Source.name,
            Instance.received_at,
        )
        .join(Prediction.instance)
        .join(Instance.source)
        .join(Prediction.model_version)
        .join(truths, truths.c.instance_id == Prediction.instance_id)
        .where(
            Prediction.recalled_at.is_(None),
            Prediction.outcome.in_(JUDGED),
            *of_images(model, source, received_from, received_before),
        )
        .order_by(Instance.id, Prediction.id)
        .execution_options(yield_per=_AT_ONCE)
    )
    for sop_instance_uid, truth, *more in rows:
        yield ReadAgain(sop_instance_uid, Truth(truth), *more)
