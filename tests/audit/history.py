"""Weeks of seeded outcomes, booked and finished through the service's own functions and then dated back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from sqlalchemy import func, select, update

from audit.inference_jobs import claim_inference, finish_inference, register_model
from audit.intake import book_instance
from audit.models import Prediction
from audit.session import Database
from core.records import Analysis
from tests.audit.rows import DEVICE_UID, MODEL, not_analysed, positive, received

MONDAY = date(2026, 1, 5)


def week(number: int) -> date:
    """Its Monday."""
    return MONDAY + timedelta(weeks=number)


def scores(n: int, *, seed: int, shift: float = 0.0) -> list[Analysis]:
    """Two thirds pneumonia, sure of itself as the shipped model is; ``shift`` adds to the probability."""
    generator = np.random.default_rng(seed)
    drawn = [*generator.beta(0.6, 6, n // 3), *generator.beta(8, 0.4, n - n // 3)]
    return [positive(min(1.0, float(score) + shift)) for score in drawn]


def refused(n: int, reason: str) -> list[Analysis]:
    return [not_analysed(reason)] * n


def seed(
    database: Database, source: str, day: date, analyses: Sequence[Analysis], *, device_uid: str = DEVICE_UID
) -> None:
    """``source`` sends so many images within ``day`` and they end as given."""
    with database.write() as session:
        for _ in analyses:
            book_instance(session, received(source=source))
        model_version_id = register_model(session, MODEL, device_uid)
        before = session.scalar(select(func.max(Prediction.id))) or 0
        for job, analysis in zip(claim_inference(session, len(analyses), 60), analyses, strict=True):
            finish_inference(
                session, job, analysis,
                model_version_id=model_version_id, results=(), destinations={}, stage_seconds={},
            )  # fmt: skip
        session.flush()
        noon = datetime.combine(day, time(12), UTC)
        session.execute(update(Prediction).where(Prediction.id > before).values(created_at=noon))
