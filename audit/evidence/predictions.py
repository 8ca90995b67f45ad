"""What was predicted, with its warnings and the digests of its results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from audit.evidence.book import AT_ONCE, Fault, Moment, Page, events_about
from audit.models import (
    AuditEvent,
    Instance,
    ModelVersion,
    Prediction,
    PredictionWarning,
    ResultObject,
    Role,
    Severity,
)
from core.records import Outcome

_OUTCOMES = {f"prediction.{outcome}": outcome.value for outcome in Outcome}
_SAID = ("device_uid", "probability", "voi", "warnings", "reasons", "objects")


class Predictions:
    """Those of models in charge: what a model in shadow said was told to nobody, and has no event."""

    def __init__(self) -> None:
        self.held = 0
        self.older = 0
        """From before events said what was predicted: of these, only the outcome has an event."""

    def takes(self, event: AuditEvent) -> bool:
        return event.kind in _OUTCOMES and "prediction" in event.data

    def hold(self, session: Session, events: Sequence[AuditEvent]) -> Iterator[Fault]:
        rows = _rows(session, [event.data["prediction"] for event in events])
        for event in events:
            row_id = event.data["prediction"]
            said: dict[str, Any] = {"image": event.subject, "outcome": _OUTCOMES[event.kind], "role": Role.ACTIVE.value}
            said |= {key: event.data.get(key) for key in _SAID}
            if "created_at" in event.data:
                said["created_at"] = event.data["created_at"]
            if row_id not in rows:
                yield Fault(event.id, f"tells of prediction {row_id}, which is gone from the books")
            elif changed := [key for key, value in said.items() if rows[row_id][key] != value]:
                words = ", ".join(changed)
                yield Fault(event.id, f"tells of prediction {row_id}, which was changed in the books: {words}")

    def page(self, session: Session, after: int) -> Page:
        rows = session.execute(
            select(Prediction.id, type_coerce(Prediction.outcome, String), Instance.sop_instance_uid)
            .join(Instance, Prediction.instance_id == Instance.id)
            .where(Prediction.id > after, Prediction.role == Role.ACTIVE)
            .order_by(Prediction.id)
            .limit(AT_ONCE)
        ).all()
        named: set[int] = set()
        older: set[tuple[str, str]] = set()
        for event in events_about(session, [image for _, _, image in rows], tuple(_OUTCOMES)):
            if "prediction" in event.data:
                named.add(event.data["prediction"])
            else:
                older.add((event.subject, _OUTCOMES[event.kind]))
        fault = None
        for row_id, outcome, image in rows:
            if row_id in named:
                continue
            if (image, outcome) in older:
                self.older += 1
            elif fault is None:
                fault = Fault(None, f"prediction {row_id} stands in the books, and no event tells of it")
        return Page(rows[-1].id if rows else None, fault)


def _rows(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows in the words of their events. Enumerations as their text: who changes a row may write anything."""
    rows = session.execute(
        select(
            Prediction.id, type_coerce(Prediction.outcome, String), type_coerce(Prediction.role, String),
            Prediction.probability, Prediction.voi, ModelVersion.device_uid, Instance.sop_instance_uid,
            type_coerce(Prediction.created_at, Moment()),
        )
        .join(ModelVersion, Prediction.model_version_id == ModelVersion.id)
        .join(Instance, Prediction.instance_id == Instance.id)
        .where(Prediction.id.in_(ids))
    )  # fmt: skip
    found: dict[int, dict[str, Any]] = {
        row_id: {
            "outcome": outcome, "role": role, "probability": probability, "voi": voi,
            "device_uid": device_uid, "image": image, "created_at": created_at,
            "warnings": [], "reasons": [], "objects": [],
        }
        for row_id, outcome, role, probability, voi, device_uid, image, created_at in rows
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
