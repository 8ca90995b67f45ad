"""Two models on the same images: is one better, or is it chance?

- AUC: the test of DeLong et al. 1988 (doi:10.2307/2531595) in the fast form of Sun & Xu 2014
  (doi:10.1109/LSP.2014.2337313); it takes images for independent;
- calls: McNemar's exact test, each model at its own threshold;
- every figure: the bootstrap by patient, both models on the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.records import ModelIdentity
from ml.evaluation import Evaluation
from ml.figures import Judged, Labels, Numbers
from ml.resampling import RESAMPLES, Z_95, interval, resampled_figures
from ml.scoring import Scores

Calls = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DeLong:
    difference: float
    """AUC of this model less AUC of the other."""
    ci: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class McNemar:
    images: str
    only_this: int
    """Images that this model alone calls right."""
    only_other: int
    p: float


@dataclass(frozen=True, slots=True)
class Comparison:
    other: str
    """Name and version of the other model."""
    evaluation: Evaluation
    """Of the other model, at its own threshold."""
    differences: dict[str, float]
    """Each figure of this model less the other's."""
    ci: dict[str, tuple[float, float]]
    """95 % interval of each difference, whole patients resampled."""
    delong: DeLong
    mcnemar: tuple[McNemar, ...]


def compare(scores: Scores, mine: Evaluation, other: Scores, theirs: Evaluation, identity: ModelIdentity) -> Comparison:
    """Both scores are of the same samples in the same order; ``identity`` is the other model's."""
    labels, patients = scores.labels, scores.patients
    pair = ((scores.probabilities, mine), (other.probabilities, theirs))
    draws = [
        resampled_figures(Judged(labels, probabilities, evaluation.threshold), labels, patients, RESAMPLES)
        for probabilities, evaluation in pair
    ]
    right = [(probabilities >= evaluation.threshold) == (labels == 1) for probabilities, evaluation in pair]
    groups = {"all images": np.ones(len(labels), bool), "pneumonia": labels == 1, "normal": labels == 0}
    return Comparison(
        other=f"{identity.name} {identity.version}",
        evaluation=theirs,
        differences={name: getattr(mine, name) - getattr(theirs, name) for name in draws[0]},
        ci={name: interval(draws[0][name] - draws[1][name]) for name in draws[0]},
        delong=delong(labels, scores.probabilities, other.probabilities),
        mcnemar=tuple(mcnemar(name, right[0][rows], right[1][rows]) for name, rows in groups.items()),
    )


def delong(labels: Labels, first: Numbers, second: Numbers) -> DeLong:
    """Test the difference of two AUCs on the same images; labels (N,) in {0, 1}, scores (N,)."""
    aucs, covariance = delong_covariance(labels, [first, second])
    difference = float(aucs[0] - aucs[1])
    error = math.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))
    # Two models that rank alike have no variance and no difference.
    p = math.erfc(abs(difference) / error / math.sqrt(2)) if error > 1e-12 else 1.0
    return DeLong(difference, (difference - Z_95 * error, difference + Z_95 * error), p)


def delong_covariance(labels: Labels, scores: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """AUCs (K,) and their covariance (K, K).

    The share of the other class that an image ranks right against is a difference of two midranks (Sun & Xu, eq. 5 on).
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    of_positives, of_negatives = [], []
    for values in scores:
        ranks = _midranks(values)
        of_positives.append((ranks[positive] - _midranks(values[positive])) / n)
        of_negatives.append(1.0 - (ranks[~positive] - _midranks(values[~positive])) / m)
    covariance = _of_mean(np.array(of_positives)) + _of_mean(np.array(of_negatives))
    return np.array([shares.mean() for shares in of_positives]), covariance


def _of_mean(rows: Numbers) -> Numbers:
    """Covariance (K, K) of the means of K rows; a class of one image shows no spread."""
    size = rows.shape[1]
    return np.cov(rows) / size if size > 1 else np.zeros((len(rows), len(rows)))


def _midranks(values: Numbers) -> Numbers:
    """Ranks from 1, the mean rank for equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def mcnemar(images: str, first_right: Calls, second_right: Calls) -> McNemar:
    """Exact: of the images that one model alone calls right, is a half each model's own?"""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return McNemar(images, only_first, only_second, min(1.0, 2 * tail / 2**n))
