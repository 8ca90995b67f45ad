"""Outcomes, scores and codes counted per source and stretch of days; the counting is the database's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, extract, func, select
from sqlalchemy.orm import Session

from audit.models import Instance, ModelVersion, Prediction, PredictionWarning, Role, Severity, Source
from audit.score_bins import BINS, bin_of, quantile, whole
from audit.stability import Share
from core.records import Outcome

_SECONDS_OF_A_DAY = 86_400


@dataclass(frozen=True, slots=True, order=True)
class Days:
    """Whole days in UTC, the last one included. Raises ValueError when they run backwards."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a range of days runs forwards, got {self}")

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    @property
    def length(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """Not part of it any more."""
        return self.begin + timedelta(days=self.length)

    def overlaps(self, other: Days) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the images of one source in some days."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    scores: list[int] = field(default_factory=lambda: [0] * BINS)
    """Histogram of the probability over SCORE_EDGES."""
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    """Images with this code."""

    @property
    def images(self) -> int:
        return self.outcomes.total()

    @property
    def scored(self) -> int:
        return self.outcomes[Outcome.POSITIVE] + self.outcomes[Outcome.NEGATIVE]

    @property
    def positive(self) -> Share:
        """Of the scored."""
        return Share(self.outcomes[Outcome.POSITIVE], self.scored)

    def share(self, outcome: Outcome) -> Share:
        """Of all images."""
        return Share(self.outcomes[outcome], self.images)

    def score(self, share: float) -> float:
        return quantile(self.scores, share)


Tallies = dict[str, dict[date, Tally]]
"""By source, then by the first day of each stretch; a stretch without an image is absent."""


def tally(session: Session, model_version_id: int, days: Days, *, stretch: int) -> Tallies:
    """Count ``days`` in stretches of so many days from their first one on.

    Two statements. What they fetch grows with sources, stretches and bins, and not with the images.
    """
    seconds = extract("epoch", Prediction.created_at) - int(days.begin.timestamp())
    images = (
        select(
            Prediction.id,
            Source.name.label("source"),
            whole(seconds / (stretch * _SECONDS_OF_A_DAY)).label("stretch"),
            Prediction.outcome,
            bin_of(Prediction.probability).label("bin"),
        )
        .join(Instance, Prediction.instance_id == Instance.id)
        .join(Source, Instance.source_id == Source.id)
        .where(*_judged_by(model_version_id), Prediction.created_at >= days.begin, Prediction.created_at < days.end)
        .subquery()
    )
    tallies: Tallies = {}

    def tally_of(source: str, number: int) -> Tally:
        return tallies.setdefault(source, {}).setdefault(days.first + timedelta(days=number * stretch), Tally())

    kinds = (images.c.source, images.c.stretch, images.c.outcome, images.c.bin)
    for source, number, outcome, place, count in session.execute(select(*kinds, func.count()).group_by(*kinds)):
        found = tally_of(source, number)
        found.outcomes[outcome] += count
        if place is not None:
            found.scores[place] += count
    codes = (images.c.source, images.c.stretch, PredictionWarning.severity, PredictionWarning.code)
    coded = (
        select(*codes, func.count(images.c.id.distinct()))
        .join(images, PredictionWarning.prediction_id == images.c.id)
        .group_by(*codes)
    )
    for source, number, severity, code, count in session.execute(coded):
        found = tally_of(source, number)
        (found.reasons if severity is Severity.REASON else found.warnings)[code] += count
    return tallies


def spans(session: Session, model_version_id: int) -> dict[str, Days]:
    """From the day of each source's first outcome under a model to that of its last."""
    first, last = func.min(Prediction.created_at), func.max(Prediction.created_at)
    statement = (
        select(Source.name, first, last)
        .join(Instance, Instance.source_id == Source.id)
        .join(Prediction, Prediction.instance_id == Instance.id)
        .where(*_judged_by(model_version_id))
        .group_by(Source.name)
        .order_by(Source.name)
    )
    return {source: Days(begun.date(), seen.date()) for source, begun, seen in session.execute(statement)}


def find_model(session: Session, device_uid_prefix: str | None) -> ModelVersion | None:
    """The one model whose Device UID begins so; without a prefix, the one that reported last, or None before any did.

    Raises:
        ValueError: no model, or more than one, has such a Device UID.
    """
    if device_uid_prefix is None:
        latest = select(ModelVersion).join(Prediction).where(Prediction.role == Role.ACTIVE)
        return session.scalar(latest.order_by(Prediction.created_at.desc(), Prediction.id.desc()).limit(1))
    found = session.scalars(
        select(ModelVersion).where(ModelVersion.device_uid.startswith(device_uid_prefix, autoescape=True)).limit(2)
    ).all()
    if len(found) != 1:
        how_many = "more than one model has" if found else "no model has"
        raise ValueError(f"{how_many} a Device UID that begins with {device_uid_prefix}")
    return found[0]


def _judged_by(model_version_id: int) -> tuple[ColumnElement[bool], ...]:
    return Prediction.model_version_id == model_version_id, Prediction.role == Role.ACTIVE
