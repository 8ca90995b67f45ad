"""One worked example of each answer about feedback, for the OpenAPI document."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from api.feedback_documents import FeedbackItem, FeedbackOfPrediction, FeedbackPage, FeedbackReport, ModelFigures
from audit.feedback_figures import FeedbackFigures, ModelAtSource, Truth
from audit.models import Agreement, ModelVersion, Role, TrueLabel
from core.records import Outcome

FEEDBACK = FeedbackItem(
    id=7,
    prediction_id=48,
    sop_instance_uid="1.2.826.0.1.3680043.10.511.3.9001",
    source="x-ray-room-1",
    model="mobilenet_v2",
    model_version="1.0.0",
    outcome=Outcome.POSITIVE,
    agreement=Agreement.DISAGREE,
    true_label=TrueLabel.NO_PNEUMONIA,
    comment="Atelectasis behind the heart.",
    reader="a.reader",
    principal="reading-room",
    created_at=datetime(2026, 3, 2, 9, 40, 12, tzinfo=UTC),
    stands=True,
)
FEEDBACK_OF_PREDICTION = FeedbackOfPrediction(items=[FEEDBACK])
FEEDBACK_PAGE = FeedbackPage(items=[FEEDBACK], next=None)

_MODEL = ModelVersion(name="mobilenet_v2", version="1.0.0", device_uid="2.25.188310331837482341733841294729486112837")
_FIGURES = FeedbackFigures(
    Counter({
        (Outcome.POSITIVE, Truth.PNEUMONIA): 41,
        (Outcome.POSITIVE, Truth.NO_PNEUMONIA): 9,
        (Outcome.POSITIVE, Truth.DISPUTED): 1,
        (Outcome.POSITIVE, Truth.UNSURE): 2,
        (Outcome.POSITIVE, Truth.UNREAD): 67,
        (Outcome.NEGATIVE, Truth.PNEUMONIA): 3,
        (Outcome.NEGATIVE, Truth.NO_PNEUMONIA): 52,
        (Outcome.NEGATIVE, Truth.UNREAD): 825,
    })
)  # fmt: skip
FEEDBACK_REPORT = FeedbackReport(
    models=[ModelFigures.of_all_sources(_MODEL, Role.ACTIVE, _FIGURES)],
    sources=[ModelFigures.of(ModelAtSource(_MODEL, Role.ACTIVE, "x-ray-room-1", _FIGURES))],
)
