"""What was said, as the events have it, held against the books: predictions with their results, and feedback.

Both ways: a row must be what its event says, and each row must have its event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from audit.models import (
    AuditEvent,
    Feedback,
    Instance,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
)
from core.records import Outcome

FEEDBACK_GIVEN = "feedback.given"
_OUTCOMES = {f"prediction.{outcome}": outcome.value for outcome in Outcome}
_SAID = ("device_uid", "probability", "voi", "warnings", "reasons", "objects")
_HEARD = ("prediction", "agreement", "true_label", "reader")
_AT_ONCE = 500


class Evidence:
    """Give it events as they come, then let it step through the books."""

    def __init__(self) -> None:
        self.predictions = self.older = self.feedback = 0
        self.first_bad: tuple[int | None, str] | None = None
        self._taken: list[AuditEvent] = []
        self._prediction_id: int | None = 0
        self._feedback_id: int | None = 0

    def take(self, event: AuditEvent) -> None:
        if (event.kind in _OUTCOMES and "prediction" in event.data) or event.kind == FEEDBACK_GIVEN:
            self._taken.append(event)

    def compare(self, session: Session) -> None:
        """Hold the rows that the events taken since the last time tell about against them."""
        taken, self._taken = self._taken, []
        said = [event for event in taken if event.kind in _OUTCOMES]
        heard = [event for event in taken if event.kind == FEEDBACK_GIVEN]
        predictions = _predictions(session, [event.data["prediction"] for event in said])
        feedback = _feedback(session, [event.data["feedback"] for event in heard])
        self.predictions, self.feedback = self.predictions + len(said), self.feedback + len(heard)
        for event in taken:
            if event.kind in _OUTCOMES:
                what, row = f"prediction {event.data['prediction']}", predictions.get(event.data["prediction"])
                expected: dict[str, Any] = {"outcome": _OUTCOMES[event.kind], "role": Role.ACTIVE.value}
                expected |= {key: event.data.get(key) for key in _SAID}
            else:
                what, row = f"feedback {event.data['feedback']}", feedback.get(event.data["feedback"])
                expected = {key: event.data.get(key) for key in _HEARD}
            if row is None:
                self._note(event.id, f"tells of {what}, which is gone from the books")
            elif changed := [key for key, value in {"image": event.subject, **expected}.items() if row[key] != value]:
                self._note(event.id, f"tells of {what}, which was changed in the books: {', '.join(changed)}")

    def step(self, session: Session) -> bool:
        """Look for the events of some hundred rows; False when there are no more rows."""
        if self.first_bad is not None:
            return False
        if self._prediction_id is not None:
            self._prediction_id = self._step_predictions(session, self._prediction_id)
        elif self._feedback_id is not None:
            self._feedback_id = self._step_feedback(session, self._feedback_id)
        return self._feedback_id is not None

    def _step_predictions(self, session: Session, after: int) -> int | None:
        rows = session.execute(
            select(Prediction.id, type_coerce(Prediction.outcome, String), Instance.sop_instance_uid)
            .join(Instance, Prediction.instance_id == Instance.id)
            .where(Prediction.id > after, Prediction.role == Role.ACTIVE)
            .order_by(Prediction.id)
            .limit(_AT_ONCE)
        ).all()
        named: set[int] = set()
        older: set[tuple[str, str]] = set()
        for subject, kind, data in _events_about(session, [row[2] for row in rows], tuple(_OUTCOMES)):
            if "prediction" in data:
                named.add(data["prediction"])
            else:
                older.add((subject, _OUTCOMES[kind]))
        for prediction_id, outcome, image in rows:
            if prediction_id in named:
                continue
            if (image, outcome) in older:
                self.older += 1
            else:
                self._note(None, f"prediction {prediction_id} stands in the books, and no event tells of it")
        return rows[-1][0] if rows else None

    def _step_feedback(self, session: Session, after: int) -> int | None:
        rows = session.execute(
            select(Feedback.id, Instance.sop_instance_uid)
            .join(Prediction, Feedback.prediction_id == Prediction.id)
            .join(Instance, Prediction.instance_id == Instance.id)
            .where(Feedback.id > after)
            .order_by(Feedback.id)
            .limit(_AT_ONCE)
        ).all()
        events = _events_about(session, [row[1] for row in rows], (FEEDBACK_GIVEN,))
        named = {data["feedback"] for _, _, data in events}
        for feedback_id, _ in rows:
            if feedback_id not in named:
                self._note(None, f"feedback {feedback_id} stands in the books, and no event tells of it")
        return rows[-1][0] if rows else None

    def _note(self, event_id: int | None, why: str) -> None:
        if self.first_bad is None:
            self.first_bad = event_id, why


def _events_about(
    session: Session, subjects: Sequence[str], kinds: Sequence[str]
) -> Sequence[tuple[str, str, dict[str, Any]]]:
    columns = (AuditEvent.subject, AuditEvent.kind, AuditEvent.data)
    about = (AuditEvent.subject.in_(set(subjects)), AuditEvent.kind.in_(kinds))
    return [(subject, kind, data) for subject, kind, data in session.execute(select(*columns).where(*about))]


def _predictions(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows in the words of their events. Enumerations as their text: who changes a row may write anything."""
    rows = session.execute(
        select(
            Prediction.id, type_coerce(Prediction.outcome, String), type_coerce(Prediction.role, String),
            Prediction.probability, Prediction.voi, ModelVersion.device_uid, Instance.sop_instance_uid,
        )
        .join(ModelVersion, Prediction.model_version_id == ModelVersion.id)
        .join(Instance, Prediction.instance_id == Instance.id)
        .where(Prediction.id.in_(ids))
    )  # fmt: skip
    found: dict[int, dict[str, Any]] = {
        row_id: {
            "outcome": outcome, "role": role, "probability": probability, "voi": voi,
            "device_uid": device_uid, "image": image, "warnings": [], "reasons": [], "objects": [],
        }
        for row_id, outcome, role, probability, voi, device_uid, image in rows
    }  # fmt: skip
    codes = select(
        PredictionWarning.prediction_id, type_coerce(PredictionWarning.severity, String), PredictionWarning.code
    )
    lists: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row_id, severity, code in session.execute(codes.where(PredictionWarning.prediction_id.in_(ids))):
        lists[row_id, "warnings" if severity == Severity.WARNING.value else "reasons"].append(code)
    objects = select(ResultObject.prediction_id, ResultObject.sop_instance_uid, ResultObject.sha256)
    for owner, sop_instance_uid, sha256 in session.execute(objects.where(ResultObject.prediction_id.in_(ids))):
        lists[owner or 0, "objects"].append([sop_instance_uid, sha256])
    for (row_id, key), values in lists.items():
        if row_id in found:
            found[row_id][key] = sorted(values)
    return found


def _feedback(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = session.execute(
        select(
            Feedback.id, Feedback.prediction_id, type_coerce(Feedback.agreement, String),
            type_coerce(Feedback.true_label, String), Feedback.reader, Instance.sop_instance_uid,
        )
        .join(Prediction, Feedback.prediction_id == Prediction.id)
        .join(Instance, Prediction.instance_id == Instance.id)
        .where(Feedback.id.in_(ids))
    )  # fmt: skip
    keys = ("prediction", "agreement", "true_label", "reader", "image")
    return {row[0]: dict(zip(keys, row[1:], strict=True)) for row in rows}
