"""Sensitivity and specificity where few images were read again, and positive ones rather than negative ones."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

from audit.stability import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its interval; ``interval`` is None where a cell of the table is empty and none can be told."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The predictions of one answer, and what the ones show that were read again."""

    predictions: int
    pneumonia: int
    no_pneumonia: int

    @property
    def read(self) -> int:
        return self.pneumonia + self.no_pneumonia


def sensitivity(positive: Verified, negative: Verified) -> Estimate | None:
    """After Begg and Greenes (Biometrics 39, 1983): the verified ones of each answer stand for all of that answer.

    Right where it depended on nothing but the model's answer which images were read again. None where the ones of an
    answer never were, or none showed the finding.
    """
    return _answered_rightly(
        (positive.predictions, positive.pneumonia, positive.read),
        (negative.predictions, negative.pneumonia, negative.read),
    )


def specificity(positive: Verified, negative: Verified) -> Estimate | None:
    """Likewise."""
    return _answered_rightly(
        (negative.predictions, negative.no_pneumonia, negative.read),
        (positive.predictions, positive.no_pneumonia, positive.read),
    )


def _answered_rightly(right: tuple[int, int, int], wrong: tuple[int, int, int]) -> Estimate | None:
    """Of the images with the truth in question: predictions of either answer, how many have that truth, of how many."""
    (n, hits, read), (m, misses, reread) = right, wrong
    if not read or not reread or not (hits or misses):
        return None
    a, b = n * hits / read, m * misses / reread
    if not hits or not misses:
        return Estimate(a / (a + b), None)
    # The log odds are log(n / m) + log(hits / read) - log(misses / reread), three independent estimates: by the delta
    # method their variances add up.
    variance = 1 / n + 1 / m + 1 / hits - 1 / read + 1 / misses - 1 / reread
    centre, reach = log(a / b), NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * sqrt(variance)
    return Estimate(a / (a + b), (_share(centre - reach), _share(centre + reach)))


def _share(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds))
