"""One source's days held against its reference: what changed, each change a plain line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from audit.stability import DRIFT, WATCH, Share, Stability, population_stability
from audit.tallies import Days, Tally
from core.records import Outcome

FEWEST_IN_REFERENCE, FEWEST_IN_WINDOW = 100, 50
"""Images that a comparison needs. The chance level beside each PSI says what so few are worth."""


class Status(StrEnum):
    """From the harmless to the grave."""

    NOT_COMPARED = "not_compared"
    STEADY = "steady"
    WATCH = "watch"
    DRIFT = "drift"


class Change(StrEnum):
    """What a warning is about."""

    SCORES = "scores"
    POSITIVE_RATE = "positive_rate"
    NOT_ANALYSED_RATE = "not_analysed_rate"
    FAILED_RATE = "failed_rate"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class DriftWarning:
    change: Change
    status: Status
    line: str


@dataclass(frozen=True, slots=True)
class Period:
    days: Days
    tally: Tally


@dataclass(frozen=True, slots=True)
class Comparison:
    """``stability`` is None where the scores are too few to compare; ``unmet`` then says what is missing."""

    stability: Stability | None
    warnings: tuple[DriftWarning, ...]
    unmet: str

    @property
    def status(self) -> Status:
        grades = [warning.status for warning in self.warnings]
        if not grades and self.stability is None:
            return Status.NOT_COMPARED
        return max(grades, key=list(Status).index, default=Status.STEADY)


def compare(reference: Period | None, window: Period) -> Comparison:
    """Scores and positive rate need enough scored images in both; the other rates need enough images."""
    if reference is None:
        return Comparison(None, (), "there is no reference before the window yet")
    before, after = reference.tally, window.tally
    warnings = list(_changed_outcomes(before, after))
    if before.scored < FEWEST_IN_REFERENCE or after.scored < FEWEST_IN_WINDOW:
        unmet = (
            f"{before.scored} scored images in the reference and {after.scored} in the window, "
            f"{FEWEST_IN_REFERENCE} and {FEWEST_IN_WINDOW} are needed"
        )
        return Comparison(None, tuple(warnings), unmet)
    warnings += _changed_rate(Change.POSITIVE_RATE, "positive", before.positive, after.positive)
    stability = population_stability(before.scores, after.scores)
    if stability is None:
        return Comparison(None, tuple(warnings), "the scores of the reference are all alike")
    return Comparison(stability, (*_shifted_scores(stability), *warnings), "")


def _changed_outcomes(before: Tally, after: Tally) -> Iterator[DriftWarning]:
    if before.images < FEWEST_IN_REFERENCE:
        return
    if after.images == 0:
        yield DriftWarning(
            Change.SILENT, Status.DRIFT, f"nothing arrived in the window, {before.images} images in the reference"
        )
    if after.images < FEWEST_IN_WINDOW:
        return
    for change, outcome, words in (
        (Change.NOT_ANALYSED_RATE, Outcome.NOT_ANALYSED, "not analysed"),
        (Change.FAILED_RATE, Outcome.FAILED, "failed"),
    ):
        yield from _changed_rate(change, words, before.share(outcome), after.share(outcome))


def _changed_rate(change: Change, words: str, before: Share, after: Share) -> Iterator[DriftWarning]:
    if after.differs_from(before):
        yield DriftWarning(change, Status.DRIFT, f"{words} {percent(after)} in the window, {percent(before)} before")


def _shifted_scores(stability: Stability) -> Iterator[DriftWarning]:
    if stability.is_drift or stability.is_watch:
        status, limit = (Status.DRIFT, DRIFT) if stability.is_drift else (Status.WATCH, WATCH)
        line = (
            f"the scores have moved: PSI {stability.psi:.2f} over {stability.bins} bins is above {limit} "
            f"and above what chance explains ({stability.by_chance:.2f})"
        )
        yield DriftWarning(Change.SCORES, status, line)


def percent(share: Share) -> str:
    """Value and 95 % interval, for people."""
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%} of {share.n})"
