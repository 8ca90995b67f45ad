"""Bins of the probability that SQL counts into, so that a report over millions of rows fetches a few thousand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Integer, SQLColumnExpression, case, cast

# From, to, bins. A calibrated classifier is sure most of the time: of 600 training images, 387 scored above 0.99, and
# hundred equal bins would leave four of the ten deciles apart. 156 bins that narrow towards both ends leave nine.
_ZONES = ((0.0, 0.01, 20), (0.01, 0.1, 18), (0.1, 0.9, 80), (0.9, 0.99, 18), (0.99, 1.0, 20))
SCORE_EDGES = (*(low + (high - low) * i / bins for low, high, bins in _ZONES for i in range(bins)), 1.0)
BINS = len(SCORE_EDGES) - 1
PRECISION = "0.01; 0.005 within 0.1 of either end; 0.0005 within 0.01"


def bin_of(probability: SQLColumnExpression[float | None]) -> ColumnElement[int]:
    """Number of the bin, 0 to BINS - 1; NULL for NULL. The same numbers on PostgreSQL and SQLite."""
    places, first = [], 0
    for low, high, bins in _ZONES:
        places.append((probability < high, first + whole((probability - low) * (bins / (high - low)))))
        first += bins
    return case((probability.is_(None), None), *places, else_=BINS - 1)


def whole(number: ColumnElement[Any]) -> ColumnElement[int]:
    """The integer part of what is not negative. PostgreSQL's cast rounds, and SQLite may be built without floor()."""
    cut = cast(number, Integer)
    return cut - case((cut > number, 1), else_=0)


def quantile(counts: Sequence[int], share: float) -> float:
    """Of a histogram over SCORE_EDGES that is not empty; linear within a bin, so wrong by its width at most."""
    wanted = share * sum(counts)
    for i, (here, passed) in enumerate(zip(counts, accumulate(counts), strict=True)):
        if here and passed >= wanted:
            within = 1 - (passed - wanted) / here
            return SCORE_EDGES[i] + within * (SCORE_EDGES[i + 1] - SCORE_EDGES[i])
    raise ValueError("a histogram without a count has no quantiles")
