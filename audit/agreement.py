"""Two models on the same images: where their outcomes agree, and how far their scores lie apart.

An image counts once both have an outcome for it, whichever of them was active then.
"""

from __future__ import annotations

import heapq
import statistics
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from audit.models import Instance, ModelVersion, Prediction, PredictionWarning, Severity
from core.records import Outcome

LISTED = 20
_AT_ONCE = 2000  # rows fetched together, of possibly millions


@dataclass(frozen=True, slots=True)
class Pair:
    """What the two said of one image."""

    sop_instance_uid: str
    a: Outcome
    b: Outcome
    score_a: float | None
    score_b: float | None
    reasons: tuple[str, ...] = ()
    """Codes, of the one that did not answer."""


@dataclass(frozen=True, slots=True)
class ScoreShift:
    """Of the second model's score less the first's, over at least two images."""

    mean: float
    median: float
    q05: float
    q95: float
    correlation: float | None
    """Pearson's, of the scores; None where one of the models always says the same."""


@dataclass(frozen=True, slots=True)
class Agreement:
    a: ModelVersion
    b: ModelVersion
    outcomes: Counter[tuple[Outcome, Outcome]]
    """Images by what the first and the second said, all four outcomes."""
    shift: ScoreShift | None
    most_different: tuple[Pair, ...]
    """By distance of the scores, the farthest first."""
    one_answered: tuple[Pair, ...]
    """The latest images that only one of them judged."""

    @property
    def n(self) -> int:
        """Images that both judged."""
        return sum(self.both(a, b) for a in _JUDGED for b in _JUDGED)

    def both(self, a: Outcome, b: Outcome) -> int:
        return self.outcomes[a, b]

    @property
    def agreed(self) -> int:
        return sum(self.both(outcome, outcome) for outcome in _JUDGED)

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance (Cohen 1960). None where both always say the same one thing: chance explains it."""
        if self.n == 0:
            return None
        by_chance = sum(
            sum(self.both(outcome, other) for other in _JUDGED) * sum(self.both(other, outcome) for other in _JUDGED)
            for outcome in _JUDGED
        )
        expected = by_chance / self.n**2
        return None if expected == 1 else (self.agreed / self.n - expected) / (1 - expected)

    @property
    def answered_by_one(self) -> tuple[int, int]:
        """Images that only the first judged, and only the second."""
        only_a = sum(count for (a, b), count in self.outcomes.items() if a in _JUDGED and b not in _JUDGED)
        only_b = sum(count for (a, b), count in self.outcomes.items() if b in _JUDGED and a not in _JUDGED)
        return only_a, only_b


_JUDGED = (Outcome.NEGATIVE, Outcome.POSITIVE)


def read_agreement(
    session: Session,
    a: ModelVersion,
    b: ModelVersion,
    *,
    received_from: datetime | None = None,
    received_before: datetime | None = None,
) -> Agreement:
    """Reads every pair once and keeps two numbers of it.

    Raises:
        ValueError: both are the same model.
    """
    if a.id == b.id:
        raise ValueError(f"a model agrees with itself; name two, got {a.name}@{a.version} twice")
    outcomes: Counter[tuple[Outcome, Outcome]] = Counter()
    scores_a, scores_b = array("d"), array("d")
    farthest: list[tuple[float, str, Pair]] = []
    one_answered: list[Pair] = []
    for pair in _pairs(session, a.id, b.id, received_from, received_before):
        outcomes[pair.a, pair.b] += 1
        if pair.score_a is not None and pair.score_b is not None:
            scores_a.append(pair.score_a)
            scores_b.append(pair.score_b)
            place = (abs(pair.score_b - pair.score_a), pair.sop_instance_uid, pair)
            (heapq.heappush if len(farthest) < LISTED else heapq.heappushpop)(farthest, place)
        elif (pair.score_a is None) != (pair.score_b is None) and len(one_answered) < LISTED:
            one_answered.append(pair)
    return Agreement(
        a,
        b,
        outcomes,
        _shift(scores_a, scores_b),
        tuple(pair for _, _, pair in sorted(farthest, reverse=True)),
        tuple(_with_reasons(session, pair, a.id, b.id) for pair in one_answered),
    )


def _pairs(
    session: Session, a: int, b: int, received_from: datetime | None, received_before: datetime | None
) -> Iterator[Pair]:
    """Latest image first."""
    first, second = aliased(Prediction), aliased(Prediction)
    statement = (
        select(Instance.sop_instance_uid, first.outcome, second.outcome, first.probability, second.probability)
        .join(first, (first.instance_id == Instance.id) & (first.model_version_id == a))
        .join(second, (second.instance_id == Instance.id) & (second.model_version_id == b))
        .order_by(Instance.id.desc())
    )
    if received_from is not None:
        statement = statement.where(Instance.received_at >= received_from)
    if received_before is not None:
        statement = statement.where(Instance.received_at < received_before)
    for row in session.execute(statement.execution_options(yield_per=_AT_ONCE)):
        yield Pair(*row)


def _shift(a: array[float], b: array[float]) -> ScoreShift | None:
    if len(a) < 2:
        return None
    differences = array("d", (second - first for first, second in zip(a, b, strict=True)))
    twentieths = statistics.quantiles(differences, n=20, method="inclusive")
    varied = min(a) < max(a) and min(b) < max(b)
    return ScoreShift(
        statistics.fmean(differences),
        statistics.median(differences),
        twentieths[0],
        twentieths[-1],
        statistics.correlation(a, b) if varied else None,
    )


def _with_reasons(session: Session, pair: Pair, a: int, b: int) -> Pair:
    codes = (
        select(PredictionWarning.code)
        .join(Prediction)
        .join(Instance)
        .where(
            Instance.sop_instance_uid == pair.sop_instance_uid,
            Prediction.model_version_id.in_((a, b)),
            PredictionWarning.severity == Severity.REASON,
        )
        .order_by(PredictionWarning.id)
    )
    return Pair(pair.sop_instance_uid, pair.a, pair.b, pair.score_a, pair.score_b, tuple(session.scalars(codes)))
