"""``/v1/drift``: does each source still send what it used to? What `pneumo models drift` prints."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api import examples
from api.parameters import Word
from api.problems import Code, Refusal
from api.security import Reader
from api.state import DatabaseOfApp
from audit.comparison import Change, Status
from audit.comparison import Period as PeriodFound
from audit.drift import SourceDrift as Found
from audit.drift import read_drift
from audit.stability import Share as ShareFound
from audit.tallies import Days
from core.records import Outcome

router = APIRouter(prefix="/v1/drift", tags=["operation"])

_QUANTILES = (5, 25, 50, 75, 95)


class Stretch(IntEnum):
    """Days in a period."""

    DAY = 1
    WEEK = 7


class Share(BaseModel):
    value: float
    low: float = Field(description="Lower end of Wilson's 95 % interval.")
    high: float
    n: int

    @classmethod
    def of(cls, share: ShareFound) -> Self | None:
        if share.n == 0:
            return None
        low, high = share.interval
        return cls(value=share.value, low=low, high=high, n=share.n)


class Period(BaseModel):
    first_day: date
    last_day: date
    images: int
    positive: Share | None = Field(description="Of the analysed; null where there are none.")
    not_analysed: Share | None = Field(description="Of all images.")
    failed: Share | None
    quantiles: dict[int, float] = Field(description="Of the probability, by percent; empty where nothing was analysed.")
    reasons: dict[str, int]
    warnings: dict[str, int]

    @classmethod
    def of(cls, period: PeriodFound) -> Self:
        tally = period.tally
        return cls(
            first_day=period.days.first,
            last_day=period.days.last,
            images=tally.images,
            positive=Share.of(tally.positive),
            not_analysed=Share.of(tally.share(Outcome.NOT_ANALYSED)),
            failed=Share.of(tally.share(Outcome.FAILED)),
            quantiles={q: tally.score(q / 100) for q in _QUANTILES} if tally.scored else {},
            reasons=dict(tally.reasons.most_common()),
            warnings=dict(tally.warnings.most_common()),
        )


class Warned(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    change: Change
    status: Status
    line: str


class SourceDrift(BaseModel):
    source: str
    status: Status
    psi: float | None = Field(description="Population stability index of the scores; null where they are too few.")
    psi_by_chance: float | None = Field(description="What chance alone stays below 99 times in 100.")
    not_compared: str = Field(description="What is missing for a comparison; empty where there is one.")
    warnings: list[Warned]
    reference: Period | None
    window: Period
    periods: list[Period] = Field(description="From the source's first image to its last.")

    @classmethod
    def of(cls, found: Found) -> Self:
        comparison = found.comparison
        return cls(
            source=found.source,
            status=comparison.status,
            psi=comparison.stability.psi if comparison.stability else None,
            psi_by_chance=comparison.stability.by_chance if comparison.stability else None,
            not_compared=comparison.unmet,
            warnings=[Warned.model_validate(warning) for warning in comparison.warnings],
            reference=Period.of(found.reference) if found.reference else None,
            window=Period.of(found.window),
            periods=[Period.of(period) for period in found.periods],
        )


class Drift(BaseModel):
    device_uid: str | None = Field(description="Of the model; null before any model has judged an image.")
    model: str | None
    model_version: str | None
    sources: list[SourceDrift]


class DriftQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Word | None = Field(None, description="Beginning of a Device UID; otherwise the model that judged last.")
    source: Word | None = None
    stretch: Stretch = Field(Stretch.WEEK, description="Days in a period.")
    reference_from: date | None = Field(None, description="Otherwise each source's first four whole weeks.")
    reference_to: date | None = Field(None, description="Included.")
    window_from: date | None = Field(None, description="Otherwise the last whole week.")
    window_to: date | None = Field(None, description="Included.")

    @model_validator(mode="after")
    def _ranges_are_whole(self) -> Self:
        for first, last in ((self.reference_from, self.reference_to), (self.window_from, self.window_to)):
            if (first is None) != (last is None):
                raise ValueError("a range of days has a first and a last day: give both or neither")
            if first is not None and last is not None and last < first:
                raise ValueError("a range of days runs forwards")
        return self


def _days(first: date | None, last: date | None) -> Days | None:
    return Days(first, last) if first is not None and last is not None else None


_SHARE = Share(value=0.21, low=0.17, high=0.26, n=310)
_PERIOD = Period(
    first_day=date(2026, 2, 23),
    last_day=date(2026, 3, 1),
    images=325,
    positive=_SHARE,
    not_analysed=Share(value=0.046, low=0.028, high=0.075, n=325),
    failed=Share(value=0.0, low=0.0, high=0.012, n=325),
    quantiles={5: 0.01, 25: 0.03, 50: 0.08, 75: 0.61, 95: 0.98},
    reasons={"lateral_view": 15},
    warnings={"low_resolution": 4},
)
_EXAMPLE = Drift(
    device_uid="2.25.188310331837482341733841294729486112837",
    model="mobilenet_v2",
    model_version="1.0.0",
    sources=[
        SourceDrift(
            source="x-ray-room-1",
            status=Status.STEADY,
            psi=0.02,
            psi_by_chance=0.07,
            not_compared="",
            warnings=[],
            reference=_PERIOD.model_copy(update={"first_day": date(2026, 1, 5), "last_day": date(2026, 2, 1)}),
            window=_PERIOD,
            periods=[_PERIOD],
        )
    ],
)


@router.get(
    "",
    summary="Outcomes and scores of each source, now and in its reference days",
    responses=examples.answers(
        _EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def show_drift(database: DatabaseOfApp, _caller: Reader, query: Annotated[DriftQuery, Query()]) -> Drift:
    """Days are in UTC. Everything is said under one model: another model's scores are no reference for this one's."""
    with database.read() as session:
        try:
            report = read_drift(
                session,
                today=datetime.now(UTC).date(),
                stretch=query.stretch,
                reference=_days(query.reference_from, query.reference_to),
                window=_days(query.window_from, query.window_to),
                source=query.source,
                model=query.model,
            )
        except ValueError as exc:  # its words are for the caller, and hold names from the configuration alone
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, str(exc)) from exc
    if report is None:
        return Drift(device_uid=None, model=None, model_version=None, sources=[])
    return Drift(
        device_uid=report.model.device_uid,
        model=report.model.name,
        model_version=report.model.version,
        sources=[SourceDrift.of(found) for found in report.sources],
    )
