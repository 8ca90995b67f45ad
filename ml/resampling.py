"""95 % intervals: the bootstrap by patient, and what to say where it has nothing to show.

Images of one patient are no independent draws, so patients are drawn, not images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ml.figures import Judged, Labels, Numbers

INTERVAL = (2.5, 97.5)
RESAMPLES = 1000
Z_95 = 1.959964


def patient_weights(labels: Labels, patients: Sequence[str], resamples: int, seed: int = 0) -> Iterator[Numbers]:
    """How often each image counts (N,) in each resample: patients drawn with replacement, each class by itself.

    Seeded: the same labels, patients and seed give the same draws, which pairs two models.
    """
    keys = list(zip(labels.tolist(), patients, strict=True))
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    rows = np.array([number_of[key] for key in keys])
    classes = [np.array([number for (label, _), number in number_of.items() if label == wanted]) for wanted in (0, 1)]
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = np.concatenate([generator.choice(patients_of, len(patients_of)) for patients_of in classes])
        yield np.bincount(drawn, minlength=len(number_of))[rows].astype(np.float64)


def resampled_figures(
    judged: Judged, labels: Labels, patients: Sequence[str], resamples: int, seed: int = 0
) -> dict[str, Numbers]:
    """Each figure over the resamples (R,); nothing without resamples."""
    draws = [judged.figures(weights) for weights in patient_weights(labels, patients, resamples, seed)]
    return {name: np.array([draw[name] for draw in draws]) for name in (draws[0] if draws else ())}


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Of a share of independent images (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    share, spread = successes / n, Z_95**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def faultless_bound(patients: int) -> float:
    """The rate that ``patients`` without an error prove, at one-sided 95 %; resampling says 1 whatever their number.

    The exact form of the rule of three (Hanley & Lippman-Hand 1983, doi:10.1001/jama.1983.03330370053031).
    """
    return float(0.05 ** (1 / patients))


def interval(values: Numbers) -> tuple[float, float]:
    """The middle 95 % of the resamples."""
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
