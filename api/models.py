"""``/v1/models``: each version that ever answered or may, and what it said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.schemas import Model
from api.security import Reader
from api.state import DatabaseOfApp
from audit.model_listing import Answers, find_models
from audit.models import ModelState, ModelVersion, Role
from core.records import Outcome

router = APIRouter(prefix="/v1/models", tags=["audit"])


class ModelAnswers(BaseModel):
    model_config = ConfigDict(frozen=True)

    outcomes: dict[Outcome, int]
    recalled: int = Field(description="How many of them were withdrawn.")
    first_at: datetime
    last_at: datetime


class ModelSummary(Model):
    temperature: float
    state: ModelState
    state_since: datetime | None = Field(description="Null where it never was anything but idle.")
    registered_at: datetime
    active: ModelAnswers | None = Field(description="What it said in charge.")
    shadow: ModelAnswers | None = Field(description="What it said on trial, which was never reported.")

    @classmethod
    def of(cls, version: ModelVersion, answers: dict[Role, Answers]) -> ModelSummary:
        own = {name: getattr(version, name) for name in cls.model_fields if hasattr(ModelVersion, name)}
        return cls(**own, active=_answers(answers.get(Role.ACTIVE)), shadow=_answers(answers.get(Role.SHADOW)))


def _answers(answers: Answers | None) -> ModelAnswers | None:
    if answers is None or answers.first_at is None or answers.last_at is None:
        return None
    return ModelAnswers(
        outcomes=dict(answers.outcomes),
        recalled=answers.recalled,
        first_at=answers.first_at,
        last_at=answers.last_at,
    )


class ModelList(BaseModel):
    model_config = ConfigDict(frozen=True)

    items: list[ModelSummary]


class ModelQuery(BaseModel):
    """No parameter; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_EXAMPLE = ModelList(
    items=[
        ModelSummary(
            **dict(examples.VERDICT.model),
            temperature=1.3,
            state=ModelState.ACTIVE,
            state_since=examples.VERDICT.created_at - timedelta(days=20),
            registered_at=examples.VERDICT.created_at - timedelta(days=40),
            active=ModelAnswers(
                outcomes={Outcome.POSITIVE: 310, Outcome.NEGATIVE: 640, Outcome.FAILED: 1},
                recalled=0,
                first_at=examples.VERDICT.created_at - timedelta(days=20),
                last_at=examples.VERDICT.created_at,
            ),
            shadow=None,
        )
    ]
)


@router.get("", summary="List model versions", responses=examples.answers(_EXAMPLE, *examples.OF_A_LIST))
def list_models(database: DatabaseOfApp, _caller: Reader, _query: Annotated[ModelQuery, Query()]) -> ModelList:
    """In the order of their registration. Counts from the audit log; no model is loaded."""
    with database.read() as session:
        return ModelList(items=[ModelSummary.of(version, answers) for version, answers in find_models(session)])
