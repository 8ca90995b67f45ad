"""The arithmetic of drift: intervals of shares, and how far two score distributions lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
WATCH, DRIFT = 0.1, 0.2
"""Siddiqi, Credit Risk Scorecards, 2006: below 0.1 nothing changed; the usual alarm lies between 0.2 and 0.25."""
SMOOTHING = 0.5
"""Added to the count of every bin on both sides, so that an empty bin is no infinity."""
CHANCE_LEVEL = 0.99
_DECILES = 10


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``n``, with Wilson's score interval (JASA 22, 1927): honest for rare events and for few images."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def interval(self) -> tuple[float, float]:
        z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
        centre = (self.value + z * z / (2 * self.n)) / (1 + z * z / self.n)
        reach = z * sqrt(self.value * (1 - self.value) / self.n + z * z / (4 * self.n**2)) / (1 + z * z / self.n)
        return max(0.0, centre - reach), min(1.0, centre + reach)

    def differs_from(self, other: Share) -> bool:
        """Whether the two intervals do not overlap."""
        (low, high), (other_low, other_high) = self.interval, other.interval
        return high < other_low or other_high < low


@dataclass(frozen=True, slots=True)
class Stability:
    """A population stability index; ``by_chance`` is what two samples of one population stay below 99 times in 100."""

    psi: float
    bins: int
    by_chance: float

    @property
    def is_drift(self) -> bool:
        return self.psi > max(DRIFT, self.by_chance)

    @property
    def is_watch(self) -> bool:
        return self.psi > max(WATCH, self.by_chance)


def population_stability(reference: Sequence[int], window: Sequence[int]) -> Stability | None:
    """PSI over the deciles of the reference; both are counts over the same fine bins, and neither is empty.

    A fine bin that holds several deciles stays one bin, so there may be fewer than ten. None where only one is left:
    a reference that is all alike cannot tell what is new.
    """
    before, after = _by_decile(reference, window)
    n, m, bins = sum(before), sum(after), len(before)
    if bins < 2:
        return None
    psi = sum((q - p) * log(q / p) for p, q in zip(_smoothed_shares(before), _smoothed_shares(after), strict=True))
    # Yurdakul & Naranjo, J. Risk Model Validation 14(4), 2020: without drift, PSI / (1/n + 1/m) is about chi-square.
    return Stability(psi, bins, (1 / n + 1 / m) * _chi_square_quantile(bins - 1))


def _by_decile(reference: Sequence[int], window: Sequence[int]) -> tuple[list[int], list[int]]:
    n, before, after, reached = sum(reference), [0], [0], 0
    for here, there, passed in zip(reference, window, accumulate(reference), strict=True):
        before[-1] += here
        after[-1] += there
        decile = _DECILES * passed // n
        if reached < decile < _DECILES:
            reached = decile
            before.append(0)
            after.append(0)
    return before, after


def _smoothed_shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + SMOOTHING * len(counts)
    return [(count + SMOOTHING) / total for count in counts]


def _chi_square_quantile(degrees: int) -> float:
    """At CHANCE_LEVEL, by Wilson and Hilferty (PNAS 17, 1931): within 1 % for 1 to 9 degrees."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(CHANCE_LEVEL) * sqrt(spread)) ** 3
