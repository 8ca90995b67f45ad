"""Model versions with what each has said; no model is loaded for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from audit.model_versions import list_versions
from audit.models import ModelVersion, Prediction, Role
from core.records import Outcome


@dataclass(slots=True)
class Answers:
    """Of a model in one role."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """Those that were recalled among them."""
    recalled: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


def find_models(session: Session) -> list[tuple[ModelVersion, dict[Role, Answers]]]:
    """In the order of their registration."""
    answers: defaultdict[int, dict[Role, Answers]] = defaultdict(dict)
    counted = select(
        Prediction.model_version_id,
        Prediction.role,
        Prediction.outcome,
        func.count(),
        func.count(Prediction.recalled_at),
        func.min(Prediction.created_at),
        func.max(Prediction.created_at),
    ).group_by(Prediction.model_version_id, Prediction.role, Prediction.outcome)
    for version_id, role, outcome, number, recalled, first, last in session.execute(counted):
        found = answers[version_id].setdefault(role, Answers())
        found.outcomes[outcome] += number
        found.recalled += recalled
        found.first_at = min(first, found.first_at or first)
        found.last_at = max(last, found.last_at or last)
    return [(version, answers[version.id]) for version in list_versions(session)]
