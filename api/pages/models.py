"""``/models``: which model answers, and whether each source still sends what it used to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.drift import DriftQuery, Period, Share, SourceDrift, Stretch, show_drift
from api.models import ModelQuery, list_models
from api.pages import charts
from api.pages.callers import PageReader
from api.pages.rendering import ViewOfRequest
from api.state import DatabaseOfApp
from audit.models import ModelState

router = APIRouter(include_in_schema=False)

_PERIODS = 26
"""Weeks that the charts go back."""


@dataclass(frozen=True, slots=True)
class DriftOfSource:
    drift: SourceDrift
    weeks: Sequence[Period]
    """Those that the charts show."""
    positive: charts.Line | None
    not_analysed: charts.Line | None
    scores: charts.Line | None
    """Median of the probability, in the band of its quartiles."""


@router.get("/models")
def models_page(database: DatabaseOfApp, caller: PageReader, view: ViewOfRequest) -> HTMLResponse:
    drift = show_drift(database, caller, DriftQuery.model_validate({"stretch": Stretch.WEEK}))
    versions = list_models(database, caller, ModelQuery()).items
    order = list(ModelState)
    versions.sort(key=lambda model: order.index(model.state))
    return view.show(
        "models.html", caller, versions=versions, drift=drift, sources=[_charts(source) for source in drift.sources]
    )


def _charts(source: SourceDrift) -> DriftOfSource:
    periods = source.periods[-_PERIODS:]
    return DriftOfSource(
        source,
        weeks=periods,
        positive=charts.line([_point(period.positive) for period in periods]),
        not_analysed=charts.line([_point(period.not_analysed) for period in periods]),
        scores=charts.line(_quartiles(periods)),
    )


def _point(share: Share | None) -> tuple[float, float, float] | None:
    return None if share is None else (share.value, share.low, share.high)


def _quartiles(periods: Sequence[Period]) -> list[tuple[float, float, float] | None]:
    return [(found[50], found[25], found[75]) if (found := period.quantiles) else None for period in periods]
